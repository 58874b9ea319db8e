//! The envelope both vendors wrap their answers in, decoded before anybody looks at the outcome.
//!
//! Both spellings are read from either kind: public clients of JuziBot were seen to accept `errcode`/`errmsg` and
//! `code`/`message` alike, and both vendors report errors inside HTTP 200.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{Operation, SourceName, UpstreamReply};

use super::http::Reply;
use super::lenient::{Code, Lenient};
use super::redact::Redactor;
use super::repair::Repaired;
use super::rows::{self, Row, Rows, TooMany};
use super::{ClockRefused, CodeClass, CodeTable, Failure, UpstreamError, repair};

/// The members of an envelope that are read. Of a message or a total that is there twice the last one counts.
#[derive(Default)]
struct Wire<'a> {
    errcode: Lenient<Code>,
    code: Lenient<Code>,
    errmsg: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    total: Option<&'a RawValue>,
    fail_list: Option<&'a RawValue>,
    /// Whether a code, the data or the list of failures is there twice, so that it is not certain what the source means.
    is_ambiguous: bool,
    /// Whether there is a member of another name that is a list with elements.
    has_unknown_list: bool,
}

impl<'de> Deserialize<'de> for Wire<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WireVisitor;
        impl<'de> Visitor<'de> for WireVisitor {
            type Value = Wire<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wire<'de>, A::Error> {
                let mut wire = Wire::default();
                let mut seen: [bool; 4] = [false; 4];
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let decisive = ["errcode", "code", "data", "fail_list"].iter().position(|one| *one == name);
                    if let Some(index) = decisive {
                        wire.is_ambiguous |= std::mem::replace(&mut seen[index], true);
                    }
                    match name.as_ref() {
                        "errcode" => wire.errcode = map.next_value()?,
                        "code" => wire.code = map.next_value()?,
                        "errmsg" => wire.errmsg = Some(map.next_value()?),
                        "message" => wire.message = Some(map.next_value()?),
                        "data" => wire.data = Some(map.next_value()?),
                        "total" => wire.total = Some(map.next_value()?),
                        "fail_list" => wire.fail_list = Some(map.next_value()?),
                        _ => {
                            let json = map.next_value::<&RawValue>()?.get();
                            wire.has_unknown_list |= json.starts_with('[') && json[1..].trim_start() != "]";
                        }
                    }
                }
                Ok(wire)
            }
        }
        deserializer.deserialize_map(WireVisitor)
    }
}

/// An opened envelope.
pub struct Envelope<'a> {
    /// The source's refusal of the call; `None` if it reports success.
    pub refusal: Option<UpstreamError>,
    text: Text<'a>,
    /// Byte ranges of the members in the text; absent and null are `None`.
    data: Option<Range<usize>>,
    total: Option<Range<usize>>,
    fail_list: Option<Range<usize>>,
    has_unknown_list: bool,
}

/// The JSON of an answer, repaired if need be.
struct Text<'a> {
    json: Cow<'a, str>,
    /// Byte offsets of what was repaired, ascending.
    repaired: Vec<usize>,
}

/// A part of an answer's JSON.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    pub json: &'a str,
    /// Its offset in the answer.
    start: usize,
    /// Offsets of what was repaired in the answer, ascending.
    repaired: &'a [usize],
}

impl<'a> Fragment<'a> {
    /// The whole of a text that was repaired by itself.
    pub fn of(repaired: &'a Repaired) -> Self {
        Self { json: &repaired.json, start: 0, repaired: &repaired.places }
    }

    /// A part that was borrowed from the fragment.
    pub fn part(&self, part: &'a str) -> Self {
        Self { json: part, start: self.start + offset_of(part, self.json), repaired: self.repaired }
    }

    /// Whether something of this part of the fragment was repaired.
    pub fn is_repaired(&self, part: &str) -> bool {
        let start = self.start + offset_of(part, self.json);
        let next = self.repaired.partition_point(|place| *place < start);
        self.repaired.get(next).is_some_and(|place| *place < start + part.len())
    }
}

/// The offset of a part that was borrowed from `whole`.
fn offset_of(part: &str, whole: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How one source's envelopes are read.
pub struct Opener {
    pub name: SourceName,
    pub codes: CodeTable,
    pub redactor: Redactor,
    /// The codes by which the source refuses our clock.
    pub clock_codes: &'static [&'static str],
}

impl Opener {
    /// Reads the envelope of a reply to this operation.
    ///
    /// # Errors
    /// The reply is a success by its status and no envelope with a code, or holds more than [`MAX_VALUES`]; or no success and
    /// no envelope.
    pub fn open<'a>(&self, operation: Operation, reply: &'a Reply) -> Result<Envelope<'a>, UpstreamError> {
        if holds_too_much(&reply.body) {
            return Err(if reply.is_success() {
                self.too_large("too many values")
            } else {
                self.refused_by_status(reply)
            });
        }
        let opened = read(&reply.body).and_then(|(text, parts)| {
            let refusal = self.refusal_of(operation, reply, parts.codes, &parts.message)?;
            let Parts { data, total, fail_list, has_unknown_list, .. } = parts;
            Ok(Envelope { refusal, text, data, total, fail_list, has_unknown_list })
        });
        opened.map_err(|fault| if reply.is_success() { self.unreadable(fault) } else { self.refused_by_status(reply) })
    }

    /// Decides by the envelope's code and the status whether the source refused the call.
    fn refusal_of(
        &self,
        operation: Operation,
        reply: &Reply,
        codes: [Lenient<Code>; 2],
        message: &str,
    ) -> Result<Option<UpstreamError>, Fault> {
        if codes.contains(&Lenient::Unreadable) {
            return Err(Fault::NoEnvelope("the envelope's code is neither a number nor a text"));
        }
        // Where both spellings are there and disagree, the one that reports an error is believed.
        let codes: Vec<Code> = codes.into_iter().filter_map(Lenient::value).collect();
        match codes.iter().find(|code| code.0 != "0").or(codes.first()) {
            Some(code) if code.0 != "0" => Ok(Some(self.refused(operation, reply, &code.0, message))),
            _ if !reply.is_success() => Ok(Some(self.refused_by_status(reply))),
            Some(_) => Ok(None),
            None => Err(Fault::NoEnvelope("the envelope has no code")),
        }
    }

    /// An answer that is not the vendor's envelope.
    fn unreadable(&self, fault: Fault) -> UpstreamError {
        match fault {
            Fault::NoEnvelope(what) => self.error(Failure::BadPayload(what.to_owned())),
            Fault::Ambiguous => self.bad_data("a member of its envelope is there twice"),
        }
    }

    /// An answer that is larger than is read.
    pub fn too_large(&self, what: &str) -> UpstreamError {
        self.error(Failure::TooLarge(what.to_owned()))
    }

    /// An envelope with content that cannot be used.
    pub fn bad_data(&self, why: impl Into<String>) -> UpstreamError {
        self.error(Failure::BadData(why.into()))
    }

    fn error(&self, failure: Failure) -> UpstreamError {
        UpstreamError::new(&self.name, failure)
    }

    /// A source's own words about one entry, fit to be shown; `None` where it said nothing.
    pub fn reply(&self, code: Option<&Code>, message: Option<&str>) -> Option<UpstreamReply> {
        let code = code.map(|code| self.redactor.clean(&code.0)).unwrap_or_default();
        let message = message.map(|message| self.redactor.clean(message)).unwrap_or_default();
        (!code.is_empty() || !message.is_empty()).then_some(UpstreamReply { code, message })
    }

    fn refused(&self, operation: Operation, reply: &Reply, code: &str, message: &str) -> UpstreamError {
        let upstream = UpstreamReply { code: self.redactor.clean(code), message: self.redactor.clean(message) };
        let class = match self.codes.class(operation, code) {
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

impl Envelope<'_> {
    /// The envelope of a success.
    pub fn success(self) -> Result<Self, UpstreamError> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(self),
        }
    }

    fn fragment(&self, range: &Range<usize>) -> Fragment<'_> {
        Fragment { json: &self.text.json[range.clone()], start: range.start, repaired: &self.text.repaired }
    }

    /// `data`; `None` where it is absent or null.
    pub fn data(&self) -> Option<Fragment<'_>> {
        self.data.as_ref().map(|range| self.fragment(range))
    }

    /// Whether there is a list under a name that is not known: the format may have changed.
    pub fn has_unknown_list(&self) -> bool {
        self.has_unknown_list
    }

    /// `data` split into rows; absent, null and `""` are empty.
    pub fn rows(&self) -> Result<Rows<'_>, TooMany> {
        self.data().map_or_else(|| Ok(Rows::List(Vec::new())), |data| rows::split(&data))
    }

    /// `total`, which may be unreadable.
    pub fn total(&self) -> Lenient<i64> {
        let total = self.total.as_ref().map(|range| self.fragment(range).json);
        total.map_or(Lenient::Absent, |json| serde_json::from_str(json).unwrap_or(Lenient::Unreadable))
    }

    /// `fail_list` split into its entries; absent, null and `""` are empty, what is no list is one entry.
    pub fn failed_entries(&self) -> Result<Vec<Row<'_>>, TooMany> {
        match self.fail_list.as_ref().map(|range| rows::split(&self.fragment(range))) {
            None => Ok(Vec::new()),
            Some(split) => Ok(split?.into_vec().unwrap_or_else(|| vec![Row::unreadable()])),
        }
    }
}

/// The reason for which an envelope cannot be used: never a value of it.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The answer is not the vendor's envelope.
    NoEnvelope(&'static str),
    /// A member that decides is there twice.
    Ambiguous,
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

/// The parts of an envelope, found in its text.
struct Parts {
    codes: [Lenient<Code>; 2],
    message: String,
    data: Option<Range<usize>>,
    total: Option<Range<usize>>,
    fail_list: Option<Range<usize>>,
    is_ambiguous: bool,
    has_unknown_list: bool,
}

/// Reads a body. Its text is repaired only if it is not valid UTF-8, or not valid JSON.
fn read(body: &[u8]) -> Result<(Text<'_>, Parts), Fault> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let fault = match std::str::from_utf8(body) {
        Err(_) => Fault::NoEnvelope("not UTF-8"),
        Ok(json) => match parts(json) {
            Ok(parts) => {
                return parts.certain().map(|parts| (Text { json: Cow::Borrowed(json), repaired: Vec::new() }, parts));
            }
            Err(error) if error.is_syntax() => Fault::from(&error),
            Err(error) => return Err(Fault::from(&error)),
        },
    };
    let repaired = repair::body(body).filter(|repaired| !repaired.places.is_empty()).ok_or(fault)?;
    let parts = parts(&repaired.json).map_err(|error| Fault::from(&error))?.certain()?;
    Ok((Text { json: Cow::Owned(repaired.json), repaired: repaired.places }, parts))
}

fn parts(json: &str) -> serde_json::Result<Parts> {
    let wire: Wire<'_> = serde_json::from_str(json)?;
    let range = |raw: Option<&RawValue>| {
        let raw = raw.filter(|raw| raw.get() != "null")?.get();
        let start = offset_of(raw, json);
        Some(start..start + raw.len())
    };
    Ok(Parts {
        codes: [wire.errcode, wire.code],
        message: message_of(wire.errmsg).or_else(|| message_of(wire.message)).unwrap_or_default(),
        data: range(wire.data),
        total: range(wire.total),
        fail_list: range(wire.fail_list),
        is_ambiguous: wire.is_ambiguous,
        has_unknown_list: wire.has_unknown_list,
    })
}

impl Parts {
    fn certain(self) -> Result<Self, Fault> {
        if self.is_ambiguous { Err(Fault::Ambiguous) } else { Ok(self) }
    }
}

impl From<&serde_json::Error> for Fault {
    fn from(error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        Self::NoEnvelope(match error.classify() {
            Category::Data => "not the vendor's envelope",
            Category::Eof => "truncated",
            Category::Syntax | Category::Io => "not JSON",
        })
    }
}

/// A message, whatever it is spelled as; only a string is of use.
fn message_of(raw: Option<&RawValue>) -> Option<String> {
    rows::string(raw?.get()).filter(|text| !text.is_empty())
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
