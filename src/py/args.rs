//! Arguments, parsed and refused as Argument Clinic does it for `_pickle`.
//!
//! [`Signature`] is a function or `__init__` with keywords, [`Method`] a method. There are two
//! front ends: `fast` for the fast-call convention, `slots` for a tuple and a dict. The order in
//! which a call is checked decides which of several errors is reported, so it is C's order. A call
//! without keywords, or whose keywords are interned (as those written in source code are), touches
//! none of that. This file must not know what the arguments mean.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use crate::compat::arg_messages;
use crate::errors::{type_error, value_error};
use crate::object::names::short_tp_name;
use crate::object::{R, Raised, fallible};
use crate::state::State;

/// An argument of a fast call.
pub type Argument<'a, 'py> = Borrowed<'a, 'py, PyAny>;

/// The parameters of a function, under the name that its errors use.
pub struct Signature<const N: usize> {
    name: &'static str,
    params: [&'static str; N],
    positional_only: usize,
    required: usize,
    max_positional: usize,
    interned: PyOnceLock<[Py<PyString>; N]>,
}

/// `dump(obj, file, protocol=None, *, fix_imports=True, buffer_callback=None)`
pub static DUMP: Signature<5> = Signature::new(
    "dump",
    ["obj", "file", "protocol", "fix_imports", "buffer_callback"],
    0,
    2,
    3,
);
/// `dumps(obj, protocol=None, *, fix_imports=True, buffer_callback=None)`
pub static DUMPS: Signature<4> = Signature::new(
    "dumps",
    ["obj", "protocol", "fix_imports", "buffer_callback"],
    0,
    1,
    2,
);
/// `load(file, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())`
pub static LOAD: Signature<5> = Signature::new(
    "load",
    ["file", "fix_imports", "encoding", "errors", "buffers"],
    0,
    1,
    1,
);
/// `loads(data, /, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())`
pub static LOADS: Signature<5> = Signature::new(
    "loads",
    ["", "fix_imports", "encoding", "errors", "buffers"],
    1,
    1,
    1,
);
/// `Pickler(file, protocol=None, fix_imports=True, buffer_callback=None)`
pub static PICKLER: Signature<4> = Signature::new(
    "Pickler",
    ["file", "protocol", "fix_imports", "buffer_callback"],
    0,
    1,
    4,
);
/// `Unpickler(file, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())`
pub static UNPICKLER: Signature<5> = Signature::new(
    "Unpickler",
    ["file", "fix_imports", "encoding", "errors", "buffers"],
    0,
    1,
    1,
);

impl<const N: usize> Signature<N> {
    /// A function `name` with these parameters: the first `positional_only` have no name, the first
    /// `max_positional` may be given by position, the first `required` must be given.
    const fn new(
        name: &'static str,
        params: [&'static str; N],
        positional_only: usize,
        required: usize,
        max_positional: usize,
    ) -> Self {
        assert!(positional_only <= max_positional && required <= N && max_positional <= N);
        Signature {
            name,
            params,
            positional_only,
            required,
            max_positional,
            interned: PyOnceLock::new(),
        }
    }

    /// The arguments of a fast call: positional ones first, then one for each name in `kwnames`.
    ///
    /// Raises TypeError with the text of `_pickle`, or what comparing a strange keyword raises.
    #[inline]
    pub fn fast<'a, 'py>(
        &self,
        py: Python<'py>,
        args: &'a [Argument<'a, 'py>],
        kwnames: Option<&'a Bound<'py, PyTuple>>,
    ) -> R<[Option<Argument<'a, 'py>>; N]> {
        let mut out = [None; N];
        if kwnames.is_none() && (self.required..=self.max_positional).contains(&args.len()) {
            for (i, slot) in out.iter_mut().enumerate() {
                *slot = args.get(i).copied();
            }
            return Ok(out);
        }
        self.fast_keywords(py, args, kwnames)
    }

    /// The same for keywords that are interned; anything else goes the long way.
    #[inline(never)]
    fn fast_keywords<'a, 'py>(
        &self,
        py: Python<'py>,
        args: &'a [Argument<'a, 'py>],
        kwnames: Option<&'a Bound<'py, PyTuple>>,
    ) -> R<[Option<Argument<'a, 'py>>; N]> {
        let names = kwnames.map_or(&[][..], |names| names.as_slice());
        let (positional, values) = args.split_at(args.len().saturating_sub(names.len()));
        let call = FastCall {
            positional,
            names,
            values,
        };
        if positional.len() > self.max_positional {
            return self.general(py, &call);
        }
        let mut out = [None; N];
        for (slot, &arg) in out.iter_mut().zip(positional) {
            *slot = Some(arg);
        }
        let interned = self.interned(py)?;
        for (name, &value) in names.iter().zip(values) {
            let index = (self.positional_only..N).find(|&i| interned[i].is(name));
            match index {
                Some(index) if out[index].is_none() => out[index] = Some(value),
                _ => return self.general(py, &call),
            }
        }
        if out[..self.required].iter().any(Option::is_none) {
            return self.general(py, &call);
        }
        Ok(out)
    }

    /// The arguments of a call with a tuple and a dict, as `__init__` and `__new__` get them.
    ///
    /// Raises as [`Signature::fast`] does.
    pub fn slots<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> R<[Option<Bound<'py, PyAny>>; N]> {
        let positional = args.as_slice();
        let call = SlotCall { positional, kwargs };
        if call.keywords() == 0 && (self.required..=self.max_positional).contains(&positional.len())
        {
            return Ok(std::array::from_fn(|i| positional.get(i).cloned()));
        }
        self.general(args.py(), &call)
    }

    fn interned(&self, py: Python<'_>) -> R<&[Py<PyString>; N]> {
        self.interned.get_or_try_init(py, || {
            let mut names = self
                .params
                .map(|_| State::get(py).names.empty.clone_ref(py));
            for (place, name) in names.iter_mut().zip(self.params) {
                *place = fallible::interned(py, name)?.unbind();
            }
            Ok(names)
        })
    }

    /// Every check, in the order of C.
    #[cold]
    fn general<'py, C: Call<'py>>(&self, py: Python<'py>, call: &C) -> R<[Option<C::Value>; N]> {
        let (given, mut keywords) = (call.positional(), call.keywords());
        if let Some(text) = self.miscounted(given, keywords) {
            return Err(type_error(py, &text));
        }
        let mut out = std::array::from_fn(|i| call.get(i));
        let interned = self.interned(py)?;
        for i in given.max(self.positional_only)..N {
            if keywords == 0 {
                if i >= self.required {
                    break;
                }
            } else if let Some(value) = call.find(interned[i].bind(py), self.params[i])? {
                out[i] = Some(value);
                keywords -= 1;
                continue;
            }
            if i < self.required {
                return Err(type_error(
                    py,
                    &format!(
                        "{}() missing required argument '{}' (pos {})",
                        self.name,
                        self.params[i],
                        i + 1
                    ),
                ));
            }
        }
        if keywords > 0 {
            return Err(self.refuse_keywords(py, call)?);
        }
        Ok(out)
    }

    /// The error text for a wrong number of arguments.
    fn miscounted(&self, given: usize, keywords: usize) -> Option<String> {
        let name = self.name;
        let least = self.required.min(self.positional_only);
        if given + keywords > N {
            Some(format!(
                "{name}() takes at most {N} {}argument{} ({} given)",
                if given == 0 { "keyword " } else { "" },
                plural(N),
                given + keywords
            ))
        } else if given > self.max_positional {
            Some(format!(
                "{name}() takes {} {} positional argument{} ({given} given)",
                if self.required < self.max_positional {
                    "at most"
                } else {
                    "exactly"
                },
                self.max_positional,
                plural(self.max_positional),
            ))
        } else if given < least {
            Some(format!(
                "{name}() takes {} {least} positional argument{} ({given} given)",
                if least < self.max_positional {
                    "at least"
                } else {
                    "exactly"
                },
                plural(least),
            ))
        } else {
            None
        }
    }

    /// The error for keywords that no parameter took. (Err: comparing them raised.)
    fn refuse_keywords<'py, C: Call<'py>>(&self, py: Python<'py>, call: &C) -> R<Raised> {
        let interned = self.interned(py)?;
        let by_position = interned.iter().zip(self.params).take(call.positional());
        for (i, (interned, param)) in by_position.enumerate().skip(self.positional_only) {
            if call.find(interned.bind(py), param)?.is_some() {
                return Ok(type_error(
                    py,
                    &format!(
                        "argument for {}() given by name ('{param}') and position ({})",
                        self.name,
                        i + 1
                    ),
                ));
            }
        }
        let known = interned[self.positional_only..].iter();
        let known = fallible::tuple(py, known.map(|name| name.bind(py).clone().into_any()))?;
        for keyword in call.names() {
            if !keyword.is_instance_of::<PyString>() {
                return Ok(type_error(py, "keywords must be strings"));
            }
            // The keyword's own __eq__ may run here, as it does in C.
            if !known.contains(&keyword)? {
                let template = fallible::text(py, &arg_messages::unexpected_keyword(self.name))?;
                let text = template.rem(fallible::tuple(py, [keyword])?)?;
                return Ok(PyErr::new::<pyo3::exceptions::PyTypeError, _>(text.unbind()).into());
            }
        }
        Ok(type_error(
            py,
            &format!("invalid keyword argument for {}()", self.name),
        ))
    }

    /// The text of an argument that must be a str that a C string can hold.
    ///
    /// Raises TypeError for another type, ValueError for a NUL character, UnicodeEncodeError for a
    /// lone surrogate.
    pub fn text<'a>(&self, index: usize, value: &'a Bound<'_, PyAny>) -> R<&'a str> {
        let py = value.py();
        let Ok(text) = value.cast::<PyString>() else {
            let class = if value.is_none() {
                "None".to_owned()
            } else {
                short_tp_name(&value.get_type())?
            };
            return Err(type_error(
                py,
                &format!(
                    "{}() argument '{}' must be str, not {class}",
                    self.name, self.params[index]
                ),
            ));
        };
        let text = text.to_str()?;
        if text.contains('\0') {
            return Err(value_error(py, "embedded null character"));
        }
        Ok(text)
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The truth of an optional argument. Raises what its `__bool__` or `__len__` raises.
#[inline]
pub fn truth(value: Option<&Bound<'_, PyAny>>, default: bool) -> R<bool> {
    match value {
        None => Ok(default),
        Some(value) => match value.cast_exact::<PyBool>() {
            Ok(value) => Ok(value.is_true()),
            Err(_) => Ok(value.is_truthy()?),
        },
    }
}

/// What the general parser asks of a call.
trait Call<'py> {
    type Value;
    /// How many arguments are given by position.
    fn positional(&self) -> usize;
    /// How many arguments are given by keyword.
    fn keywords(&self) -> usize;
    /// The argument at a position.
    fn get(&self, index: usize) -> Option<Self::Value>;
    /// The argument given for a parameter by keyword.
    fn find(&self, interned: &Bound<'py, PyString>, name: &str) -> R<Option<Self::Value>>;
    /// The keywords.
    fn names(&self) -> Vec<Bound<'py, PyAny>>;
}

struct FastCall<'a, 'py> {
    positional: &'a [Argument<'a, 'py>],
    names: &'a [Bound<'py, PyAny>],
    values: &'a [Argument<'a, 'py>],
}

impl<'a, 'py> Call<'py> for FastCall<'a, 'py> {
    type Value = Argument<'a, 'py>;

    fn positional(&self) -> usize {
        self.positional.len()
    }

    fn keywords(&self) -> usize {
        self.names.len()
    }

    fn get(&self, index: usize) -> Option<Self::Value> {
        self.positional.get(index).copied()
    }

    fn find(&self, interned: &Bound<'py, PyString>, name: &str) -> R<Option<Self::Value>> {
        // By identity, then by characters: no keyword's own __eq__ runs.
        let index = self
            .names
            .iter()
            .position(|keyword| keyword.is(interned))
            .or_else(|| {
                self.names.iter().position(|keyword| {
                    keyword
                        .cast::<PyString>()
                        .is_ok_and(|keyword| keyword.to_str().is_ok_and(|text| text == name))
                })
            });
        Ok(index.and_then(|index| self.values.get(index).copied()))
    }

    fn names(&self) -> Vec<Bound<'py, PyAny>> {
        self.names.to_vec()
    }
}

struct SlotCall<'a, 'py> {
    positional: &'a [Bound<'py, PyAny>],
    kwargs: Option<&'a Bound<'py, PyDict>>,
}

impl<'py> Call<'py> for SlotCall<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn positional(&self) -> usize {
        self.positional.len()
    }

    fn keywords(&self) -> usize {
        self.kwargs.map_or(0, |kwargs| kwargs.len())
    }

    fn get(&self, index: usize) -> Option<Self::Value> {
        self.positional.get(index).cloned()
    }

    fn find(&self, interned: &Bound<'py, PyString>, _name: &str) -> R<Option<Self::Value>> {
        match self.kwargs {
            Some(kwargs) => Ok(kwargs.get_item(interned)?),
            None => Ok(None),
        }
    }

    fn names(&self) -> Vec<Bound<'py, PyAny>> {
        self.kwargs.map_or_else(Vec::new, |kwargs| {
            kwargs.iter().map(|(key, _)| key).collect()
        })
    }
}

/// A method, or a function without keywords, with `N` arguments, all positional only.
pub struct Method<const N: usize> {
    class: &'static str,
    signature: Signature<N>,
    convention: Convention,
}

/// How C takes the arguments of a [`Method`], which decides how it words its errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Convention {
    /// The interpreter counts them.
    Counted,
    /// They are parsed like those of a function with keywords.
    Parsed,
    /// Likewise, and keywords come in a dict, since a class is called.
    Class,
}

const COUNTED_OR_PARSED: Convention = if arg_messages::METHODS_ARE_PARSED {
    Convention::Parsed
} else {
    Convention::Counted
};

/// `Pickler.dump(obj, /)`
pub static PICKLER_DUMP: Method<1> = Method::new("Pickler", "dump", COUNTED_OR_PARSED);
/// `Pickler.persistent_id(obj, /)`
pub static PERSISTENT_ID: Method<1> = Method::new("Pickler", "persistent_id", Convention::Counted);
/// `Unpickler.load()`
pub static UNPICKLER_LOAD: Method<0> = Method::new("Unpickler", "load", COUNTED_OR_PARSED);
/// `Unpickler.find_class(module_name, global_name, /)`
pub static FIND_CLASS: Method<2> = Method::new("Unpickler", "find_class", COUNTED_OR_PARSED);
/// `Unpickler.persistent_load(pid, /)`
pub static PERSISTENT_LOAD: Method<1> =
    Method::new("Unpickler", "persistent_load", Convention::Parsed);
/// `PickleBuffer(object, /)`
pub static PICKLE_BUFFER: Method<1> = Method::new("", "PickleBuffer", Convention::Class);

impl<const N: usize> Method<N> {
    const fn new(class: &'static str, name: &'static str, convention: Convention) -> Self {
        Method {
            class,
            signature: Signature::new(name, [""; N], N, N, N),
            convention,
        }
    }

    /// The arguments of a fast call. Raises TypeError with the text of `_pickle`.
    #[inline]
    pub fn fast<'a, 'py>(
        &self,
        py: Python<'py>,
        args: &'a [Argument<'a, 'py>],
        kwnames: Option<&'a Bound<'py, PyTuple>>,
    ) -> R<[Argument<'a, 'py>; N]> {
        let keywords = kwnames.map_or(0, |names| names.len());
        let given = args.len().saturating_sub(keywords);
        match <&[_; N]>::try_from(&args[..given]) {
            Ok(args) if keywords == 0 || self.ignores_keywords() => Ok(*args),
            _ => Err(self.refuse(py, given, keywords)),
        }
    }

    /// The arguments of a call with a tuple and a dict. Raises TypeError with the text of `_pickle`.
    pub fn slots<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> R<[Bound<'py, PyAny>; N]> {
        let py = args.py();
        let keywords = kwargs.map_or(0, |kwargs| kwargs.len());
        if let Some(kwargs) = kwargs
            && self.convention != Convention::Class
            && kwargs
                .iter()
                .any(|(key, _)| !key.is_instance_of::<PyString>())
        {
            // C has fast calls here, for which the interpreter looks at the dict beforehand.
            return Err(type_error(py, "keywords must be strings"));
        }
        match <&[_; N]>::try_from(args.as_slice()) {
            Ok(args) if keywords == 0 || self.ignores_keywords() => Ok(args.clone()),
            _ => Err(self.refuse(py, args.len(), keywords)),
        }
    }

    const fn ignores_keywords(&self) -> bool {
        matches!(self.convention, Convention::Parsed)
            && N == 0
            && !arg_messages::LOAD_REFUSES_KEYWORDS
    }

    /// The error for a call with another number of arguments, or with keywords.
    #[cold]
    fn refuse(&self, py: Python<'_>, given: usize, keywords: usize) -> Raised {
        let (class, name) = (self.class, self.signature.name);
        let text = if self.convention != Convention::Counted {
            match N {
                0 => format!("{name}() takes no arguments"),
                _ => self
                    .signature
                    .miscounted(given, keywords)
                    .unwrap_or_default(),
            }
        } else if keywords > 0 {
            format!("{class}.{name}() takes no keyword arguments")
        } else {
            match N {
                0 => format!("{class}.{name}() takes no arguments ({given} given)"),
                1 => format!("{class}.{name}() takes exactly one argument ({given} given)"),
                _ => format!("{name} expected {N} arguments, got {given}"),
            }
        };
        type_error(py, &text)
    }
}
