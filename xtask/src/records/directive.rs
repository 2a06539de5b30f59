//! What makes a table: a word, and options of the form `name=value`.

use serde_json::Value;

use super::{change, tables};

pub struct Directive<'a> {
    kind: &'a str,
    options: Vec<(&'a str, &'a str)>,
}

/// Reads a record by its path in the repository.
pub type Read<'a> = &'a dyn Fn(&str) -> Result<Value, String>;

impl<'a> Directive<'a> {
    pub fn parse(words: &'a str) -> Result<Self, String> {
        let mut words = words.split_whitespace();
        let kind = words.next().ok_or("no word says which table")?;
        let option = |word: &'a str| {
            word.split_once('=')
                .ok_or_else(|| format!("`{word}` is no option of the form name=value"))
        };
        Ok(Self {
            kind,
            options: words.map(option).collect::<Result<_, _>>()?,
        })
    }

    /// An option's values, which commas part.
    pub fn values(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let mut options = self.options.iter();
        let found = options.find(|(known, _)| *known == name);
        found
            .map(|(_, values)| values.split(',').collect())
            .ok_or_else(|| format!("`{}` needs the option `{name}`", self.kind))
    }

    /// The table in Markdown, each line ended.
    pub fn table(&self, read: Read<'_>) -> Result<String, String> {
        let records = |name: &str| -> Result<Vec<Value>, String> {
            self.values(name)?.into_iter().map(read).collect()
        };
        match self.kind {
            // Shapes and operations, devices side by side.
            "operations" => tables::operations(&records("of")?),
            // Times before and after a change.
            "change" => change::change(&records("before")?, &records("after")?),
            // Times of two programs side by side.
            "beside" => match self.values("names")?[..] {
                [first, second] => {
                    change::beside(&records("first")?, &records("second")?, [first, second])
                }
                _ => Err("`beside` needs two names".to_owned()),
            },
            // Costs on the host.
            "host" => tables::host(&records("of")?),
            // This library, PyTorch and Burn side by side.
            "peers" => crate::peers::table(&records("of")?),
            // Figures of compiled shaders, before and after a change.
            "machine-code" => tables::machine_code(
                &records("before")?,
                &records("after")?,
                &tables::Choice {
                    element: self.values("element")?[0],
                    endings: self.values("endings")?,
                    figures: self.values("figures")?,
                },
            ),
            other => Err(format!("`{other}` is no table that this command makes")),
        }
    }
}
