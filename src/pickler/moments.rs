//! The `datetime` family: packed moments, time zones, time differences.
//!
//! A time zone is written in the middle of the moment that refers to it, if it is a `datetime.timezone`; others
//! have to be in the memo, or the moment goes through its reduce method.

use super::fault::F;
use super::known::are_ordinary;
use super::session::Session;
use crate::format::opcode::op;
use crate::object::instance::attributes;
use crate::object::kind::Kind;
use crate::object::known::{self, Moment};
use crate::object::read::Text;
use crate::object::recipes::Recipe;
use crate::object::world::Missing;
use crate::object::{Obj, Window};

impl Session {
    /// Whether a moment's time zone, if it has one, can be written at once.
    pub(super) fn has_plain_zone<'w>(&mut self, window: Window<'w>, moment: &Moment<'w>) -> bool {
        self.protocol >= 3
            && moment.zone.is_none_or(|zone| {
                self.memo.get(zone).is_ok_and(|index| index.is_some()) || self.is_zone(window, zone)
            })
    }

    /// Whether this is a `datetime.timezone` that can be written in the middle of another object.
    fn is_zone<'w>(&mut self, window: Window<'w>, zone: Obj<'w>) -> bool {
        self.is_part(window, zone, Recipe::TimeZone) && self.has_plain_parts(window, zone)
    }

    /// Whether this is an ordinary instance of a class with this recipe, which is at hand.
    fn is_part<'w>(&mut self, window: Window<'w>, object: Obj<'w>, recipe: Recipe) -> bool {
        let found = self.types.unregistered_now(window, object.ty());
        found.is_some_and(|(known, place)| {
            known == recipe
                && !self.overridden
                && are_ordinary(&attributes(window, object, place), false)
                && self.is_class_at_hand(window, object.ty().obj())
        })
    }

    /// Whether a `datetime.timezone` has parts that are written at once: an ordinary `timedelta`, a short name.
    pub(super) fn has_plain_parts<'w>(&mut self, window: Window<'w>, zone: Obj<'w>) -> bool {
        let (offset, name) = known::timezone(zone);
        self.is_part(window, offset, Recipe::TimeDelta)
            && name.is_none_or(|name| {
                matches!(name.kind(), Kind::Str(name)
                    if matches!(name.text(), Text::Utf8(text) if text.len() < 100))
            })
    }

    fn is_class_at_hand<'w>(&mut self, window: Window<'w>, class: Obj<'w>) -> bool {
        self.memo.get(class).is_ok_and(|index| index.is_some())
            || self.protocol >= 4 && self.classes.find(window, class).is_some()
    }

    /// Writes a class that is at hand: its GET, or its names.
    fn class_at_hand<'w>(&mut self, window: Window<'w>, class: Obj<'w>) -> F<()> {
        match self.memo.get(class)? {
            Some(index) => self.emit_get(index).map(drop),
            // The caller has seen that it is not tight.
            None => self.write_class(window, class).map(drop),
        }
    }

    /// Writes what a `datetime.timezone` with plain parts is made with.
    pub(super) fn zone_args<'w>(&mut self, window: Window<'w>, zone: Obj<'w>) -> F<()> {
        let (offset, name) = known::timezone(zone);
        match self.memo.get(offset)? {
            Some(index) => self.emit_get(index).map(drop)?,
            None => {
                self.class_at_hand(window, offset.ty().obj())?;
                self.out.boundary();
                self.timedelta_args(offset)?;
                self.made(offset, true, op::REDUCE)?;
            }
        }
        match name {
            Some(name) => {
                self.out.boundary();
                self.save_checked(window, name, true)?;
                self.emit_missing([op::TUPLE2], Missing::Tuple)
            }
            None => self.emit_missing([op::TUPLE1], Missing::Tuple),
        }
    }

    pub(super) fn timedelta_args(&mut self, object: Obj<'_>) -> F<()> {
        for part in known::timedelta(object) {
            self.out.boundary();
            self.emit_number(i64::from(part))?;
        }
        self.emit_missing([op::TUPLE3], Missing::Tuple)
    }

    /// Writes the arguments of a date or time: `(data,)` or `(data, zone)`.
    pub(super) fn emit_moment<'w>(&mut self, window: Window<'w>, moment: &Moment<'w>) -> F<()> {
        let data = &moment.data[..moment.len];
        self.out
            .emit_counted([op::SHORT_BINBYTES, moment.len as u8], data)?;
        self.memo.put_missing(Missing::Bytes)?;
        self.emit_put()?;
        let Some(zone) = moment.zone else {
            return self.emit_missing([op::TUPLE1], Missing::Tuple);
        };
        self.out.boundary();
        match self.memo.get(zone)? {
            Some(index) => self.emit_get(index).map(drop)?,
            None => {
                self.class_at_hand(window, zone.ty().obj())?;
                self.out.boundary();
                self.zone_args(window, zone)?;
                self.made(zone, true, op::REDUCE)?;
            }
        }
        self.emit_missing([op::TUPLE2], Missing::Tuple)
    }
}
