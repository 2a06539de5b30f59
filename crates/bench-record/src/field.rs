//! A value of the file together with the place where it stands.

use serde_json::Value;

use crate::problem::Problem;

pub struct Field<'a> {
    pub value: &'a Value,
    place: String,
}

/// What a number has to be.
#[derive(Clone, Copy)]
pub enum Number {
    /// A whole number of 1 or more.
    Count,
    /// A number above 0.
    Positive,
    /// A number of 0 or more.
    NotNegative,
}

impl Number {
    fn words(self) -> &'static str {
        match self {
            Self::Count => "a whole number of 1 or more",
            Self::Positive => "a number above 0",
            Self::NotNegative => "a number of 0 or more",
        }
    }

    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Count => value.as_u64().is_some_and(|n| n >= 1),
            Self::Positive => value.as_f64().is_some_and(|n| n > 0.0),
            Self::NotNegative => value.as_f64().is_some_and(|n| n >= 0.0),
        }
    }
}

impl<'a> Field<'a> {
    pub fn root(value: &'a Value) -> Self {
        let place = String::new();
        Self { value, place }
    }

    /// A field of this object. One that is missing holds null.
    pub fn get(&self, name: &str) -> Self {
        let dot = if self.place.is_empty() { "" } else { "." };
        Self {
            value: &self.value[name],
            place: format!("{}{dot}{name}", self.place),
        }
    }

    pub fn wrong(&self, expected: &str, problems: &mut Vec<Problem>) {
        let mut got = self.value.to_string();
        if got.len() > 60 {
            got = format!("{}…", got.chars().take(60).collect::<String>());
        }
        problems.push(Problem {
            place: self.place.clone(),
            what: format!("holds {got}, expected {expected}"),
        });
    }

    pub fn text(&self, name: &str, problems: &mut Vec<Problem>) {
        let field = self.get(name);
        if !field.value.is_string() {
            field.wrong("a text", problems);
        }
    }

    pub fn text_or_null(&self, name: &str, problems: &mut Vec<Problem>) {
        let field = self.get(name);
        if !field.value.is_string() && !field.value.is_null() {
            field.wrong("a text or null", problems);
        }
    }

    /// A time in UTC as ISO 8601 has it, or its day alone.
    pub fn date(&self, name: &str, problems: &mut Vec<Problem>) {
        let field = self.get(name);
        let day = field.value.as_str().and_then(|text| text.get(..10));
        let is_day = |day: &str| {
            day.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
        };
        if !day.is_some_and(is_day) {
            field.wrong("a date such as \"2026-11-28\"", problems);
        }
    }

    pub fn one_of(&self, name: &str, known: &[&str], problems: &mut Vec<Problem>) {
        let field = self.get(name);
        if !field
            .value
            .as_str()
            .is_some_and(|text| known.contains(&text))
        {
            field.wrong(&format!("one of {}", known.join(", ")), problems);
        }
    }

    pub fn number(&self, name: &str, number: Number, problems: &mut Vec<Problem>) -> Option<f64> {
        let field = self.get(name);
        if !number.holds(field.value) {
            field.wrong(number.words(), problems);
            return None;
        }
        field.value.as_f64()
    }

    /// The elements of a list. A field that is no list is a problem.
    pub fn list(&self, name: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        let field = self.get(name);
        if !field.value.is_array() {
            field.wrong("a list", problems);
        }
        let values = field.value.as_array().into_iter().flatten().enumerate();
        let element = |(at, value)| Self {
            value,
            place: format!("{}[{at}]", field.place),
        };
        values.map(element).collect()
    }

    /// The same, of a list that may not be empty.
    pub fn filled_list(&self, name: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        let list = self.list(name, problems);
        let field = self.get(name);
        if list.is_empty() && field.value.is_array() {
            field.wrong("a list that is not empty", problems);
        }
        list
    }
}
