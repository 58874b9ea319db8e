//! The envelope both vendors wrap their answers in, decoded before anybody looks at the outcome.
//!
//! Both spellings are read from either kind: public clients of JuziBot were seen to accept `errcode`/`errmsg` and
//! `code`/`message` alike, and both vendors report errors inside HTTP 200.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::model::{SourceName, UpstreamReply};

use super::http::Reply;
use super::lenient::{self, Code, List, Object, TOO_MANY};
use super::redact::Redactor;
use super::{ClockRefused, CodeClass, CodeTable, Failure, UpstreamError};

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, deserialize_with = "lenient::code")]
    errcode: Option<Code>,
    #[serde(default, deserialize_with = "lenient::code")]
    code: Option<Code>,
    #[serde(default, borrow)]
    errmsg: Option<&'a RawValue>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    total: Option<&'a RawValue>,
    #[serde(default, borrow)]
    fail_list: Option<&'a RawValue>,
}

/// An opened envelope.
pub struct Envelope<'a> {
    /// Why the source refused the call; `None` where it says success.
    pub refusal: Option<UpstreamError>,
    /// Absent and null are `None`.
    data: Option<&'a RawValue>,
    total: Option<&'a RawValue>,
    fail_list: Option<&'a RawValue>,
}

/// How one source's envelopes are read.
pub struct Opener {
    pub name: SourceName,
    pub codes: CodeTable,
    pub redactor: Redactor,
    /// The codes by which the source refuses our clock.
    pub clock_codes: &'static [&'static str],
}

impl Opener {
    /// Reads the envelope of a reply.
    ///
    /// # Errors
    /// The reply is a success by its status and no envelope with a code, or holds more than [`MAX_VALUES`]; or no success and
    /// no envelope.
    pub fn open<'a>(&self, reply: &'a Reply) -> Result<Envelope<'a>, UpstreamError> {
        let whole = if holds_too_much(&reply.body) {
            Err(Fault::at("", "too many values"))
        } else {
            parse::<Object<Wire<'_>>>(&reply.body, "")
        };
        let Object(wire) = whole
            .map_err(|fault| if reply.is_success() { self.unreadable(fault) } else { self.refused_by_status(reply) })?;
        // Where both spellings are there and disagree, the one that reports an error is believed.
        let codes = [wire.errcode, wire.code];
        let code = codes.iter().flatten().find(|code| code.0 != "0").or(codes.iter().flatten().next());
        let message = text_of(wire.errmsg).or_else(|| text_of(wire.message)).unwrap_or_default();
        let refusal = match code {
            Some(code) if code.0 != "0" => Some(self.refused(reply, &code.0, &message)),
            _ if !reply.is_success() => Some(self.refused_by_status(reply)),
            Some(_) => None,
            None => return Err(self.unreadable(Fault::at("", "the envelope has no code"))),
        };
        let present = |raw: Option<&'a RawValue>| raw.filter(|raw| raw.get() != "null");
        Ok(Envelope {
            refusal,
            data: present(wire.data),
            total: present(wire.total),
            fail_list: present(wire.fail_list),
        })
    }

    /// An answer of the wrong shape.
    pub fn unreadable(&self, fault: Fault) -> UpstreamError {
        UpstreamError::new(&self.name, Failure::BadPayload(fault.0))
    }

    /// A source's own words about one entry, fit to be shown; `None` where it said nothing.
    pub fn reply(&self, code: Option<&Code>, message: Option<&str>) -> Option<UpstreamReply> {
        let code = code.map(|code| self.redactor.clean(&code.0)).unwrap_or_default();
        let message = message.map(|message| self.redactor.clean(message)).unwrap_or_default();
        (!code.is_empty() || !message.is_empty()).then_some(UpstreamReply { code, message })
    }

    fn refused(&self, reply: &Reply, code: &str, message: &str) -> UpstreamError {
        let upstream = UpstreamReply { code: self.redactor.clean(code), message: self.redactor.clean(message) };
        let class = match self.codes.class(code) {
            // Its words about itself are believed whatever the status; any other code under a 5xx is that of a source in trouble,
            // which must not be taken for an answer about the customer.
            class @ (CodeClass::Credentials | CodeClass::RateLimited) => class,
            class if reply.status.is_server_error() || (class == CodeClass::Rejected && !reply.is_success()) => {
                CodeClass::of_status(reply.status.as_u16())
            }
            class => class,
        };
        let clock = self.clock_codes.contains(&code).then_some(ClockRefused { ahead: reply.clock_ahead });
        UpstreamError { clock, ..self.refusal(reply, class, Some(upstream)) }
    }

    fn refused_by_status(&self, reply: &Reply) -> UpstreamError {
        self.refusal(reply, CodeClass::of_status(reply.status.as_u16()), None)
    }

    fn refusal(&self, reply: &Reply, class: CodeClass, upstream: Option<UpstreamReply>) -> UpstreamError {
        let failure = Failure::Refused { class, status: reply.status.as_u16(), reply: upstream };
        UpstreamError { retry_after: reply.retry_after, ..UpstreamError::new(&self.name, failure) }
    }
}

impl<'a> Envelope<'a> {
    /// The envelope of a success.
    pub fn success(self) -> Result<Self, UpstreamError> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(self),
        }
    }

    /// `data`, with the text it was read from; `None` where it is absent or null.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        self.data.map(|raw| parse(raw.get().as_bytes(), "data")).transpose()
    }

    /// `data` that is an object; `None` where it is absent or null.
    pub fn object<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        Ok(self.data()?.map(|Object(object)| object))
    }

    /// `data` that is a list of objects; absent and null are empty.
    pub fn objects<T: DeserializeOwned>(&self) -> Result<Vec<T>, Fault> {
        Ok(objects(self.data()?))
    }

    /// `data` as it came.
    pub fn raw_data(&self) -> Option<&'a RawValue> {
        self.data
    }

    pub fn total(&self) -> Result<Option<u64>, Fault> {
        let total: Option<Code> = self.total.map(|raw| parse(raw.get().as_bytes(), "total")).transpose()?;
        total.map(|total| total.0.parse().map_err(|_| Fault::at("total", "wrong type"))).transpose()
    }

    /// `fail_list`; absent and null are empty.
    pub fn fail_list<T: DeserializeOwned>(&self) -> Result<Vec<T>, Fault> {
        let list = self.fail_list.map(|raw| parse(raw.get().as_bytes(), "fail_list"));
        Ok(objects(list.transpose()?))
    }
}

fn objects<T>(list: Option<List<Object<T>>>) -> Vec<T> {
    list.map(|List(objects)| Object::all(objects)).unwrap_or_default()
}

/// Where an answer could not be read: a path and a word, never a value.
#[derive(Debug)]
pub struct Fault(String);

impl Fault {
    pub fn at(path: &str, what: &str) -> Self {
        Self(if path.is_empty() { what.to_owned() } else { format!("{what} at {path}") })
    }
}

/// The most values of one answer, whatever its shape: five hundred for each row of the largest page that is asked for. In
/// memory a value may take a hundred times its bytes, so `max_response` alone does not bound what an answer costs
/// (docs/adr/0012).
pub const MAX_VALUES: usize = 500_000;

/// Whether it may hold more than [`MAX_VALUES`]. Each comma and each opening bracket stands for a member, an element or what
/// holds them; those in texts count too, for a text may hold a list (Tanma's `valueAsText`).
fn holds_too_much(json: &[u8]) -> bool {
    json.len() > MAX_VALUES && json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MAX_VALUES
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], within: &str) -> Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let what = match error.inner().classify() {
            serde_json::error::Category::Data if error.inner().to_string().starts_with(TOO_MANY) => TOO_MANY,
            serde_json::error::Category::Data => "wrong type",
            // What cannot be parsed may stand below a key that we do not know: its path is the source's text.
            serde_json::error::Category::Eof => return Fault::at(within, "cut short"),
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                return Fault::at(within, "not JSON");
            }
        };
        let path = error.path().to_string();
        match (within, path.as_str()) {
            ("", ".") => Fault::at("", what),
            (_, ".") => Fault::at(within, what),
            ("", _) => Fault::at(&path, what),
            (_, path) if path.starts_with('[') => Fault::at(&format!("{within}{path}"), what),
            (_, path) => Fault::at(&format!("{within}.{path}"), what),
        }
    })?;
    deserializer.end().map_err(|_| Fault::at(within, "not JSON"))?;
    Ok(value)
}

/// A message, whatever it is spelled as; only a string is of use.
fn text_of(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<String>(raw?.get()).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_holds_is_counted_in_its_texts_too() {
        let list =
            |element: &str, elements: usize| format!("[{}{element}]", format!("{element},").repeat(elements - 1));
        for (json, too_much) in [
            (list("1", MAX_VALUES), false),
            (list("1", MAX_VALUES + 1), true),
            (list("{}", MAX_VALUES / 2), false),
            (list("{}", MAX_VALUES / 2 + 1), true),
            (format!("\"{}\"", list("1", MAX_VALUES)), false),
            (format!("\"{}\"", list("1", MAX_VALUES + 1)), true),
            (format!("\"{}\"", "a".repeat(4 * MAX_VALUES)), false),
        ] {
            assert_eq!(holds_too_much(json.as_bytes()), too_much, "{}…", &json[..40]);
        }
    }
}
