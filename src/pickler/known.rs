//! Objects with a recipe (`object/recipes.rs`), written without asking their reduce methods: the opcodes that C
//! writes for the reduce value that it gets from them.
//!
//! What C makes for a reduce value and memoises (the tuple of arguments, a packed date, a dict of slots) does not
//! exist here, only its index (`Missing`). Nothing looks at the frame between the parts that are written in
//! one go: where its end might be near, the object goes through its reduce method. If a child needs user
//! code while its owner is in progress, the thaw makes the reduce value after all (`unfreeze.rs`): user code sees
//! what it sees with C. Items and slots are walked in `walk.rs`.
//!
//! C's time to ours without and with recipes, thousands of objects on 3.11: subclasses of dict and list 0.6, 1.9; slots
//! 1.1, 2.7; OrderedDict 0.8, 14; deque 0.7, 20; defaultdict 0.7, 4; Counter 0.9, 2 to 5; datetime 0.85, 8; timedelta
//! 0.7, 8; Decimal 0.9, 5; exceptions 0.8, 3.5; namedtuple 0.8, 10; UUID 0.9, 5; Fraction 1.0, 8; paths 1.0, 10.

use super::fault::F;
use super::session::{Flow, Session};
use super::task::{Batching, Known, Pair, Phase, Source, Stage, Task, Walk};
use crate::format::opcode::op;
use crate::object::instance::{Attributes, DictPlace, attributes};
use crate::object::kind::{Int, Kind, List};
use crate::object::known::{self, Deque};
use crate::object::read::Text;
use crate::object::recipes::Recipe;
use crate::object::world::{Missing, Slot};
use crate::object::{Obj, Window};

impl Session {
    /// An object whose class has a recipe, in the middle of a dump.
    pub(super) fn save_known<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        recipe: Recipe,
        place: DictPlace,
        shared: bool,
    ) -> F<Flow> {
        let generic = Task::Object {
            object: Slot::borrowed(object),
        };
        let attributes = attributes(window, object, place);
        if !self.applies(window, object, recipe, &attributes) {
            return self.push(generic);
        }
        let class = object.ty().obj();
        if recipe == Recipe::Plain {
            if self.out.attention() && self.must_leave(window) {
                return self.leave(object, Stage::Callable);
            }
        } else if self.is_tight() {
            return self.push(generic);
        }
        if let Some(index) = self.memo.get(class)? {
            return self.write_known(window, object, recipe, attributes, shared, Some(index));
        }
        if self.save_class(window, class)? {
            if recipe != Recipe::Plain && self.is_tight() {
                return self.leave(object, Stage::Args);
            }
            return self.write_known(window, object, recipe, attributes, shared, None);
        }
        self.push(Task::Plain {
            object: Slot::borrowed(object),
            is_newobj: recipe.is_newobj(),
        })?;
        self.push(Task::Object {
            object: Slot::borrowed(class),
        })
    }

    /// Whether a frame may have to be handed to the file before an object written in one piece is complete.
    ///
    /// In memory a frame simply ends inside ([`Output::boundary`](crate::format::frame::Output::boundary)): what is
    /// left to user code there, and what the memo then has to know, was a quarter of the dump of 10,000 exceptions.
    #[inline(always)]
    pub(super) fn is_tight(&self) -> bool {
        self.to_file && self.out.is_near()
    }

    /// [`Task::Plain`]: the class is written.
    pub(super) fn resume_plain(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Plain { object, .. } = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let object = object.get(window);
        self.pop()?;
        let Some(object) = object else {
            return Ok(Flow::Done);
        };
        // User code may have changed object or class since.
        let info = self.types.get(object.ty());
        let Some((recipe, place)) = info.and_then(|info| Some((info.recipe?, info.place))) else {
            return self.leave(object, Stage::Args);
        };
        let attributes = attributes(window, object, place);
        if !self.applies(window, object, recipe, &attributes)
            || (recipe != Recipe::Plain && self.is_tight())
            || self.fast
            || !self.binary
        {
            return self.leave(object, Stage::Args);
        }
        if self.is_held(window, top.checked_sub(1), object, 1) {
            self.hold(object);
        }
        self.write_known(window, object, recipe, attributes, true, None)
    }

    /// Whether the recipe holds for this instance.
    pub(super) fn applies<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        recipe: Recipe,
        attributes: &Attributes<'w>,
    ) -> bool {
        if !are_ordinary(attributes, recipe.asks_for_items()) {
            return false;
        }
        match recipe {
            Recipe::DateTime => self.has_plain_zone(window, &known::datetime(object, false)),
            Recipe::Time => self.has_plain_zone(window, &known::time(object, false)),
            Recipe::TimeZone => self.has_plain_parts(window, object),
            Recipe::Date => self.protocol >= 3,
            Recipe::OrderedDict => known::in_order(object),
            Recipe::Exception => known::exception(object).is_some(),
            Recipe::NamedTuple => matches!(attributes, Attributes::Nothing),
            Recipe::Ast(offset) => known::own_dict(object, offset).is_some(),
            Recipe::Node(offset, plan) => self.fields(object, offset, plan).is_some(),
            Recipe::Slots(plan) => {
                matches!(attributes, Attributes::Nothing)
                    && self.types.plan(plan).is_some_and(|plan| plan.holds(window))
            }
            Recipe::Uuid(plan) => self.types.plan(plan).is_some_and(|plan| {
                let (int, safe) = (plan.get(window, object, 0), plan.get(window, object, 1));
                matches!(int.map(|(_, int)| int.kind()), Some(Kind::Int(_)))
                    && safe.is_some_and(|(_, safe)| {
                        let unknown = plan.unknown.as_ref();
                        unknown.is_some_and(|u| safe.is(window.obj(u.bind(window.py()))))
                    })
            }),
            Recipe::Fraction(plan) => self.fraction(window, object, plan).is_some(),
            Recipe::Path(plan) => self.parts(window, object, plan).is_some(),
            _ => true,
        }
    }

    /// The list of a path's parts.
    fn parts<'w>(&self, window: Window<'w>, object: Obj<'w>, plan: u32) -> Option<List<'w>> {
        match self.types.plan(plan)?.get(window, object, 0)?.1.kind() {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    fn fraction<'w>(&self, window: Window<'w>, object: Obj<'w>, plan: u32) -> Option<[Int<'w>; 2]> {
        let plan = self.types.plan(plan)?;
        let int = |i| match plan.get(window, object, i)?.1.kind() {
            Kind::Int(int) => Some(int),
            _ => None,
        };
        Some([int(0)?, int(1)?])
    }

    /// Writes an object whose class has this index in the memo, or is written already.
    ///
    /// The caller has seen that the recipe applies, and that it is not tight.
    fn write_known<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        recipe: Recipe,
        attributes: Attributes<'w>,
        shared: bool,
        class: Option<i64>,
    ) -> F<Flow> {
        let mut text = [0; 255];
        let mut size = 0;
        if recipe == Recipe::Decimal {
            match known::decimal(window, object, &mut text) {
                Some(n) => size = n,
                None if class.is_some() => {
                    return self.push(Task::Object {
                        object: Slot::borrowed(object),
                    });
                }
                None => return self.leave(object, Stage::Args),
            }
        }
        if let Some(index) = class {
            self.emit_get(index)?;
        }
        if recipe != Recipe::Plain {
            // Each part of a reduce value has a boundary before it; this is that of the arguments.
            self.out.boundary();
        }
        match recipe {
            Recipe::Plain => return self.finish_plain(window, object, attributes, shared),
            Recipe::List | Recipe::Dict => {
                self.out.emit([op::EMPTY_TUPLE])?;
                if !self.made(object, shared, op::NEWOBJ)? {
                    return Ok(Flow::Done);
                }
                let source = if recipe == Recipe::List {
                    Source::List
                } else {
                    Source::Dict
                };
                return self.walk(window, object, recipe, source);
            }
            Recipe::OrderedDict => {
                self.out.emit([op::EMPTY_TUPLE])?;
                if !self.made(object, shared, op::REDUCE)? {
                    return Ok(Flow::Done);
                }
                return self.walk(window, object, recipe, Source::Dict);
            }
            Recipe::Deque => {
                self.out.emit([op::EMPTY_TUPLE])?;
                if let Some(maxlen) = Deque::of(object).maxlen() {
                    self.out.boundary();
                    self.emit_number(maxlen as i64)?;
                    self.emit_missing([op::TUPLE2], Missing::Tuple)?;
                }
                if !self.made(object, shared, op::REDUCE)? {
                    return Ok(Flow::Done);
                }
                return self.walk(window, object, recipe, Source::Deque);
            }
            Recipe::DefaultDict(_) | Recipe::Exception | Recipe::NamedTuple | Recipe::Path(_) => {
                let mut shared = !self.is_unique(object, shared);
                let args = match recipe {
                    Recipe::NamedTuple => object.as_tuple().map_or(0, |items| items.len()),
                    Recipe::Path(plan) => self.parts(window, object, plan).map_or(0, |parts| {
                        // The parts belong to a list, which may be met by itself.
                        shared |= !self.is_unique(parts.obj(), false);
                        parts.len()
                    }),
                    _ => 0,
                };
                if args > 3 {
                    self.out.emit([op::MARK])?;
                }
                self.push(Task::Known(Known {
                    object: Slot::borrowed(object),
                    recipe,
                    phase: Phase::Args,
                    next: 0,
                    shared,
                }))?;
                return self.resume_now(window, Self::resume_known);
            }
            Recipe::Counter => {
                self.emit_missing([op::EMPTY_DICT], Missing::Dict)?;
                let shared = !self.is_unique(object, shared);
                self.push(Task::Known(Known {
                    object: Slot::borrowed(object),
                    recipe,
                    phase: Phase::Args,
                    next: 1,
                    shared,
                }))?;
                return self.start_walk(window, object, Source::Copy, shared);
            }
            Recipe::Ast(offset) => {
                self.out.emit([op::EMPTY_TUPLE])?;
                return self.finish_node(window, object, shared, offset);
            }
            Recipe::Node(offset, plan) => {
                let count = self.fields(object, offset, plan).unwrap_or(0);
                if count > 3 {
                    self.out.emit([op::MARK])?;
                }
                for _ in 0..count {
                    self.out.boundary();
                    self.out.emit([op::NONE])?;
                }
                match count {
                    0 => self.out.emit([op::EMPTY_TUPLE])?,
                    1 => self.emit_missing([op::TUPLE1], Missing::Tuple)?,
                    2 => self.emit_missing([op::TUPLE2], Missing::Tuple)?,
                    3 => self.emit_missing([op::TUPLE3], Missing::Tuple)?,
                    _ => self.emit_missing([op::TUPLE], Missing::Tuple)?,
                }
                return self.finish_node(window, object, shared, offset);
            }
            Recipe::Slots(plan) => {
                self.out.emit([op::EMPTY_TUPLE])?;
                if !self.made(object, shared, op::NEWOBJ)? {
                    return Ok(Flow::Done);
                }
                return self.save_slots(window, object, plan);
            }
            Recipe::DateTime => {
                self.emit_moment(window, &known::datetime(object, self.protocol > 3))?;
            }
            Recipe::Time => self.emit_moment(window, &known::time(object, self.protocol > 3))?,
            Recipe::Date => self.emit_moment(window, &known::date(object))?,
            Recipe::TimeDelta => self.timedelta_args(object)?,
            Recipe::TimeZone => self.zone_args(window, object)?,
            Recipe::Decimal => {
                let (header, n) = self.str_header(size)?;
                self.out.emit_slice(&header[..n])?;
                self.out.emit_slice(&text[..size])?;
                self.memo.put_missing(Missing::Str)?;
                self.emit_put()?;
                self.emit_missing([op::TUPLE1], Missing::Tuple)?;
            }
            Recipe::Fraction(plan) => {
                if let Some(parts) = self.fraction(window, object, plan) {
                    for part in parts {
                        self.out.boundary();
                        self.save_int(part)?;
                    }
                }
                self.emit_missing([op::TUPLE2], Missing::Tuple)?;
            }
            Recipe::Uuid(plan) => {
                self.out.emit([op::EMPTY_TUPLE])?;
                if !self.made(object, shared, op::NEWOBJ)? {
                    return Ok(Flow::Done);
                }
                self.out.boundary();
                self.emit_missing([op::EMPTY_DICT], Missing::Dict)?;
                let plan = self.types.plan(plan);
                if let Some((name, int)) = plan.and_then(|plan| plan.get(window, object, 0)) {
                    self.out.boundary();
                    self.save_checked(window, name, false)?;
                    self.out.boundary();
                    self.save_checked(window, int, false)?;
                }
                self.out.emit([op::SETITEM, op::BUILD])?;
                return Ok(Flow::Done);
            }
        }
        self.made(object, shared, op::REDUCE)?;
        Ok(Flow::Done)
    }

    /// How many None the reduce value of a syntax tree's node begins with.
    fn fields(&self, object: Obj<'_>, offset: u16, plan: u32) -> Option<usize> {
        known::leading_fields(object, offset, self.types.plan(plan)?)
    }

    /// A syntax tree's node after its arguments: REDUCE PUT, its dict, BUILD.
    fn finish_node<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        shared: bool,
        offset: u16,
    ) -> F<Flow> {
        if !self.made(object, shared, op::REDUCE)? {
            return Ok(Flow::Done);
        }
        if let Some(Some(dict)) = known::own_dict(object, offset) {
            if self.out.attention() && self.must_leave(window) {
                return self.leave(object, Stage::State);
            }
            return self.save_state_dict(window, object, dict);
        }
        // The getter of `__dict__` makes one.
        self.out.boundary();
        self.memo.put_dict_of(object)?;
        self.emit_new([op::EMPTY_DICT])?;
        self.out.emit([op::BUILD])?;
        Ok(Flow::Done)
    }

    /// Writes REDUCE or NEWOBJ and memoises the object; false, after a GET in its place, if its own arguments led back
    /// to it and it is complete.
    pub(super) fn made(&mut self, object: Obj<'_>, shared: bool, opcode: u8) -> F<bool> {
        self.out.emit([opcode])?;
        if self.is_unique_or_held(object, shared) {
            self.memo.put_sole(object)?;
        } else if let Some(index) = self.memo.meet(object)? {
            self.out.emit([op::POP])?;
            self.emit_get(index)?;
            return Ok(false);
        }
        self.emit_put()?;
        Ok(true)
    }

    /// Writes the last opcode of an object that C makes for itself, and its PUT.
    pub(super) fn emit_missing<const N: usize>(
        &mut self,
        opcodes: [u8; N],
        missing: Missing,
    ) -> F<()> {
        self.memo.put_missing(missing)?;
        self.out.emit(opcodes)?;
        self.emit_put()
    }

    /// Writes an int that C makes for itself.
    pub(super) fn emit_number(&mut self, value: i64) -> F<()> {
        let [a, b, c, d, ..] = value.to_le_bytes();
        match value {
            0..=0xff => self.out.emit([op::BININT1, a])?,
            0x100..=0xffff => self.out.emit([op::BININT2, a, b])?,
            _ if i32::try_from(value).is_ok() => self.out.emit([op::BININT, a, b, c, d])?,
            _ => {
                let bytes = value.to_le_bytes();
                let sign = if value < 0 { 0xff } else { 0 };
                let mut n = bytes.len();
                while n > 1 && bytes[n - 1] == sign && (bytes[n - 2] ^ sign) & 0x80 == 0 {
                    n -= 1;
                }
                self.out.emit_counted([op::LONG1, n as u8], &bytes[..n])?;
            }
        }
        Ok(())
    }

    /// [`Task::Known`].
    pub(super) fn resume_known(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Known(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(object) = task.object.get(window) else {
            return Ok(Flow::Done);
        };
        let (recipe, next, shared) = (task.recipe, task.next, task.shared);
        if task.phase == Phase::Items {
            return self.known_state(window, object);
        }
        match recipe {
            Recipe::NamedTuple => match object.as_tuple() {
                Some(items) => {
                    self.known_args(window, top, items.len(), op::NEWOBJ, |i| items.get(i))
                }
                None => Ok(Flow::Done),
            },
            Recipe::Path(plan) => match self.parts(window, object, plan) {
                Some(parts) => {
                    self.known_args(window, top, parts.len(), op::REDUCE, |i| parts.get(i))
                }
                None => Ok(Flow::Done),
            },
            Recipe::Counter => {
                self.emit_missing([op::TUPLE1], Missing::Tuple)?;
                self.pop()?;
                self.made(object, shared, op::REDUCE)?;
                Ok(Flow::Done)
            }
            Recipe::DefaultDict(offset) => {
                let factory = known::slot(object, usize::from(offset))
                    .filter(|factory| !matches!(factory.kind(), Kind::None));
                if next == 0
                    && let Some(factory) = factory
                {
                    let flow = self.save(window, factory, shared);
                    if !matches!(flow, Ok(Flow::Done)) {
                        self.set_next(top, 1);
                        return flow;
                    }
                }
                if factory.is_some() {
                    self.emit_missing([op::TUPLE1], Missing::Tuple)?;
                } else {
                    self.out.emit([op::EMPTY_TUPLE])?;
                }
                self.pop()?;
                if !self.made(object, shared, op::REDUCE)? {
                    return Ok(Flow::Done);
                }
                self.walk(window, object, recipe, Source::Dict)
            }
            Recipe::Exception => {
                let Some((args, state)) = known::exception(object) else {
                    return Ok(Flow::Done);
                };
                if next == 0 {
                    let flow = self.save(window, args.obj(), shared);
                    if !matches!(flow, Ok(Flow::Done)) {
                        self.set_next(top, 1);
                        return flow;
                    }
                }
                self.pop()?;
                if !self.made(object, shared, op::REDUCE)? {
                    return Ok(Flow::Done);
                }
                let Some(state) = state else {
                    return Ok(Flow::Done);
                };
                if self.out.attention() && self.must_leave(window) {
                    return self.leave(object, Stage::State);
                }
                self.save_state_dict(window, object, state)
            }
            _ => Ok(Flow::Done),
        }
    }

    /// `item…`, the tuple of them that C makes, and `opcode`; the object is then complete.
    fn known_args<'w>(
        &mut self,
        window: Window<'w>,
        top: usize,
        len: usize,
        opcode: u8,
        get: impl Fn(usize) -> Option<Obj<'w>>,
    ) -> F<Flow> {
        let Task::Known(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let (object, mut next, shared) = (task.object.get(window), task.next, task.shared);
        while let Some(item) = get(next) {
            next += 1;
            let flow = self.save(window, item, shared);
            if !matches!(flow, Ok(Flow::Done)) {
                self.set_next(top, next);
                return flow;
            }
        }
        match len {
            0 => self.out.emit([op::EMPTY_TUPLE])?,
            1 => self.emit_missing([op::TUPLE1], Missing::Tuple)?,
            2 => self.emit_missing([op::TUPLE2], Missing::Tuple)?,
            3 => self.emit_missing([op::TUPLE3], Missing::Tuple)?,
            _ => self.emit_missing([op::TUPLE], Missing::Tuple)?,
        }
        self.pop()?;
        if let Some(object) = object {
            self.made(object, shared, opcode)?;
        }
        Ok(Flow::Done)
    }

    fn set_next(&mut self, top: usize, next: usize) {
        if let Task::Known(task) = &mut self.tasks[top] {
            task.next = next;
        }
    }

    /// Walks the items of an object that is memoised, then writes its state.
    fn walk<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        recipe: Recipe,
        source: Source,
    ) -> F<Flow> {
        self.push(Task::Known(Known {
            object: Slot::borrowed(object),
            recipe,
            phase: Phase::Items,
            next: 0,
            shared: false,
        }))?;
        self.start_walk(window, object, source, false)
    }

    /// Walks items for the [`Task::Known`] on top, then resumes that.
    fn start_walk<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        source: Source,
        shared: bool,
    ) -> F<Flow> {
        self.push(Task::Walk(Walk {
            object: Slot::borrowed(object),
            key: Slot::EMPTY,
            value: Slot::EMPTY,
            source,
            position: 0,
            done: 0,
            in_batch: 0,
            mode: Batching::Closed,
            pair: Pair::Key,
            shared,
        }))?;
        if self.resume_now(window, Self::resume_walk)? == Flow::Pushed {
            return Ok(Flow::Pushed);
        }
        self.resume_now(window, Self::resume_known)
    }

    /// The items are written; attributes in a dict follow, if the recipe has them.
    fn known_state<'w>(&mut self, window: Window<'w>, object: Obj<'w>) -> F<Flow> {
        let info = self.types.get(object.ty());
        let place = info.map_or(DictPlace::Unknown, |info| info.place);
        let no_state = matches!(info.and_then(|i| i.recipe), Some(Recipe::DefaultDict(_)));
        self.pop()?;
        if no_state || place == DictPlace::Absent {
            return Ok(Flow::Done);
        }
        match attributes(window, object, place) {
            Attributes::Nothing => Ok(Flow::Done),
            Attributes::Unreadable => self.leave(object, Stage::State),
            attributes => {
                if self.out.attention() && self.must_leave(window) {
                    return self.leave(object, Stage::State);
                }
                self.save_attributes(window, object, attributes)
            }
        }
    }

    /// Writes a plain instance whose class is written: EMPTY_TUPLE, NEWOBJ, attributes, BUILD, just as its reduce
    /// value `(copyreg.__newobj__, (cls,), state)` would be written.
    fn finish_plain<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        attributes: Attributes<'w>,
        shared: bool,
    ) -> F<Flow> {
        // Each part of a reduce value looks at the frame first; this one is the argument tuple.
        if self.out.attention() && self.must_leave(window) {
            return self.leave(object, Stage::Args);
        }
        self.out.emit([op::EMPTY_TUPLE])?;
        if !self.made(object, shared, op::NEWOBJ)? || matches!(attributes, Attributes::Nothing) {
            return Ok(Flow::Done);
        }
        if self.out.attention() && self.must_leave(window) {
            return self.leave(object, Stage::State);
        }
        self.save_attributes(window, object, attributes)
    }

    /// Writes attributes as the state of an object, and BUILD.
    fn save_attributes<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        attributes: Attributes<'w>,
    ) -> F<Flow> {
        match attributes {
            Attributes::Inline(inline) => {
                self.memo.put_dict_of(object)?;
                self.emit_new([op::EMPTY_DICT])?;
                self.lead_inline(window, object, inline)
            }
            Attributes::Dict(dict) => match dict.kind() {
                Kind::Dict(dict) => self.save_state_dict(window, object, dict),
                _ => self.leave(object, Stage::State),
            },
            Attributes::Nothing | Attributes::Unreadable => Ok(Flow::Done),
        }
    }

    /// Writes a dict as the state of an object, and BUILD.
    fn save_state_dict<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        dict: crate::object::kind::Dict<'w>,
    ) -> F<Flow> {
        if self.met(dict.obj(), false)? {
            self.out.emit([op::BUILD])?;
            return Ok(Flow::Done);
        }
        if dict.is_empty() {
            // Of an exception or a node: elsewhere no attributes are no state.
            self.emit_new([op::EMPTY_DICT])?;
            self.out.emit([op::BUILD])?;
            return Ok(Flow::Done);
        }
        self.begin_dict(window, dict, Slot::borrowed(object))
    }
}

/// Whether none of the attributes can stand for a method of the reduce protocol, which an instance may
/// override too, and all names are exact strings.
#[inline]
pub(super) fn are_ordinary(attributes: &Attributes<'_>, no_items: bool) -> bool {
    match attributes {
        Attributes::Nothing => true,
        Attributes::Inline(inline) => (0..inline.len()).all(|i| {
            inline
                .get(i)
                .is_some_and(|(key, _)| is_ordinary(key, no_items))
        }),
        Attributes::Dict(dict) => match dict.kind() {
            Kind::Dict(dict) => {
                let (entries, mut position) = (dict.entries(), 0);
                std::iter::from_fn(|| entries.next(&mut position))
                    .all(|(key, _)| is_ordinary(key, no_items))
            }
            _ => false,
        },
        Attributes::Unreadable => false,
    }
}

#[inline(always)]
fn is_ordinary(key: Obj<'_>, no_items: bool) -> bool {
    match key.kind() {
        Kind::Str(name) => match name.text() {
            Text::Utf8(name) => !(name.starts_with(b"__") || no_items && name == b"items"),
            // All the names that matter are ASCII.
            Text::Latin1(_) | Text::Ucs2(_) | Text::Ucs4(_) => true,
            Text::Legacy => false,
        },
        _ => false,
    }
}
