//! Reading TOML by hand, so that every complaint names its line and the field that was probably meant.

use super::ProjectError;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use trust::names::printable;

/// The text of a file and its name, for complaints.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// A complaint about the bytes at `span`.
    pub(super) fn error(&self, span: &Range<usize>, message: impl AsRef<str>) -> ProjectError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ProjectError {
            file: printable(self.file),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: printable(message.as_ref()),
        }
    }
}

/// A value, where it stands, and what it is called in complaints.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub source: Source<'a>,
    pub name: String,
    pub key_span: Range<usize>,
    pub span: Range<usize>,
    pub value: &'a DeValue<'a>,
    /// The table it stands in, as in "process web"; empty at the top.
    place: String,
}

type Read<T> = Result<T, ProjectError>;

impl<'a> Field<'a> {
    /// A complaint about the value.
    pub(super) fn error(&self, message: impl AsRef<str>) -> ProjectError {
        self.source.error(&self.span, message)
    }

    /// The field's name as complaints say it: `'port' in process web`.
    pub(super) fn said(&self) -> String {
        if self.place.is_empty() { format!("'{}'", self.name) } else { format!("'{}' in {}", self.name, self.place) }
    }

    fn wrong_type(&self, wanted: &str) -> ProjectError {
        let hint = match self.value {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) if wanted.contains("text") => {
                "; put it in quotes"
            }
            _ => "",
        };
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("{} must be {wanted}, not {found}{hint}", self.said()))
    }

    pub(super) fn text(&self) -> Read<&'a str> {
        let text = self.value.as_str().ok_or_else(|| self.wrong_type("a text in quotes"))?;
        if text.contains('\0') {
            return Err(self.error(format!("{} contains a zero byte, which no program can be given", self.said())));
        }
        Ok(text)
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(&self, least: u32, most: u32) -> Read<u32> {
        let number = self.value.as_integer().ok_or_else(|| self.wrong_type("a whole number"))?;
        match u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.error(format!("{} must be from {least} to {most}", self.said()))),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self) -> Read<Vec<Field<'a>>> {
        self.items("a list of texts, as [\"one\", \"two\"]")
    }

    /// A list; `wanted` says of what.
    pub(super) fn items(&self, wanted: &str) -> Read<Vec<Field<'a>>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong_type(wanted))?;
        let items = array.iter().map(|item| Field { span: item.span(), value: item.get_ref(), ..self.clone() });
        Ok(items.collect())
    }

    /// The table inside, whose fields complaints place in `place`.
    pub(super) fn table(&self, place: &str) -> Read<Fields<'a>> {
        let table = self.value.as_table().ok_or_else(|| self.wrong_type("a table"))?;
        Ok(Fields::new(self.source, table, place))
    }
}

/// The fields of a table that nobody has asked for yet.
pub(super) struct Fields<'a> {
    source: Source<'a>,
    place: String,
    left: Vec<Field<'a>>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: Source<'a>, table: &'a DeTable<'a>, place: &str) -> Self {
        let field = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| Field {
            source,
            name: AsRef::<str>::as_ref(key.get_ref() as &std::borrow::Cow<'a, str>).to_owned(),
            key_span: key.span(),
            span: value.span(),
            value: value.get_ref(),
            place: place.to_owned(),
        };
        let mut left: Vec<_> = table.iter().map(field).collect();
        left.sort_by_key(|field| field.key_span.start);
        Self { source, place: place.to_owned(), left, known: Vec::new() }
    }

    /// Takes the field of this name, which hereby is a known one.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let at = self.left.iter().position(|field| field.name == name)?;
        Some(self.left.remove(at))
    }

    /// Takes all fields: a table whose keys are names that people choose.
    pub(super) fn take_all(self) -> Vec<Field<'a>> {
        self.left
    }

    /// Fails where somebody wrote a name that is known by another one here.
    pub(super) fn is_called(&self, name: &str, instead: &str) -> Read<()> {
        let Some(field) = self.left.iter().find(|field| field.name == name) else { return Ok(()) };
        let said = field.said();
        Err(self.source.error(&field.key_span, format!("unknown field {said}; it is called otherwise: {instead}")))
    }

    /// Ends the reading: a field that nobody took is unknown, and the complaint names the nearest known one.
    pub(super) fn end(self) -> Read<()> {
        let Some(field) = self.left.first() else { return Ok(()) };
        let place = if self.place.is_empty() { String::new() } else { format!(" in {}", self.place) };
        let advice = match nearest(&field.name, &self.known) {
            Some(name) => format!("did you mean '{name}'?"),
            None => format!("known here: {}", self.known.join(", ")),
        };
        let shown: String = field.name.chars().take(60).collect();
        Err(self.source.error(&field.key_span, format!("unknown field '{shown}'{place}; {advice}")))
    }
}

/// The known name that was probably meant by `name`.
pub(super) fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&name.to_lowercase(), candidate);
    let (best, at) = known.iter().map(|candidate| (distance(candidate), *candidate)).min()?;
    let near = best <= (at.len() / 3).max(1);
    let begins = name.len() >= 3 && at.starts_with(&name.to_lowercase());
    if near || begins {
        return Some(at);
    }
    known.iter().copied().find(|candidate| name.len() >= 3 && candidate.starts_with(&name.to_lowercase()))
}
