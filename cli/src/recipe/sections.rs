//! Options structs as sections of a TOML file: printing them with their manual, reading them back, and
//! refusing what is not known, with the nearest name.

use serde::Serialize;
use toml::{Table, Value};
use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result};

/// One option as the TOML file shows it.
#[derive(Clone, Debug)]
pub struct FieldDoc {
    /// Its name.
    pub name: &'static str,
    /// Its manual, one line per line.
    pub doc: &'static str,
    /// Its default; `None` when it is unset by default.
    pub default: Option<Value>,
}

/// One section of the TOML file: the options of one stage.
#[derive(Clone, Debug)]
pub struct SectionDoc {
    /// The name in brackets.
    pub name: &'static str,
    /// What the stage does, one line per line.
    pub doc: &'static str,
    /// Its options in order of declaration.
    pub fields: Vec<FieldDoc>,
}

/// Declares the sections of a recipe once; from here come reading, printing, checking and provenance. The module gives
/// the struct a `check_together` that refuses options which contradict one another.
macro_rules! recipe_config {
    (
        $(#[doc = $struct_doc:literal])*
        pub struct $name:ident($step:literal) {
            $( $(#[doc = $doc:literal])* $section:ident : $options:ty, )*
        }
    ) => {
        $(#[doc = $struct_doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $section: $options, )*
        }

        impl $name {
            /// The sections with their manual.
            pub fn sections() -> Vec<$crate::recipe::SectionDoc> {
                vec![ $(
                    $crate::recipe::sections::describe::<$options>(stringify!($section), concat!($($doc, "\n",)*)),
                )* ]
            }

            /// Reads a table of sections.
            ///
            /// # Errors
            /// [`zensaibo_core::Error::Parameter`] naming `section.option`.
            pub fn from_table(mut table: toml::Table) -> zensaibo_core::Result<Self> {
                let config = Self {
                    $( $section: $crate::recipe::sections::take(&mut table, stringify!($section))?, )*
                };
                $crate::recipe::sections::refuse_rest(&table, &[$( stringify!($section), )*])?;
                config.check_together()?;
                Ok(config)
            }

            /// Checks every option.
            ///
            /// # Errors
            /// [`zensaibo_core::Error::Parameter`] naming `section.option`.
            pub fn validate(&self) -> zensaibo_core::Result<()> {
                $(
                    zensaibo_core::options::Options::validate(&self.$section)
                        .map_err(|error| $crate::recipe::sections::within(stringify!($section), error))?;
                )*
                self.check_together()
            }

            /// Reads a TOML file's text, then applies `SECTION.OPTION=VALUE` assignments over it.
            ///
            /// # Errors
            /// [`zensaibo_core::Error::Parameter`] for text that is no TOML (with the place), an unknown section or
            /// option (with the nearest known one), a wrong type, a value out of range.
            pub fn from_toml(text: &str, assignments: &[String]) -> zensaibo_core::Result<Self> {
                Self::from_table($crate::recipe::sections::parse($step, text, assignments)?)
            }

            /// Every option with its manual and default, as TOML.
            pub fn template() -> String {
                $crate::recipe::sections::template($step, &Self::sections())
            }

            /// All values as TOML text, section by section, without manual; unset options are left out.
            pub fn to_toml(&self) -> String {
                toml::to_string(self).unwrap_or_default()
            }

            /// All values as text: sections, each with its options. Unset options say so.
            pub fn values(&self) -> Vec<(String, Vec<(String, String)>)> {
                $crate::recipe::sections::values(self, &Self::sections())
            }
        }
    };
}
pub(super) use recipe_config;

/// The table of a TOML file's text with assignments over it.
pub(super) fn parse(step: &str, text: &str, assignments: &[String]) -> Result<Table> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let expected = format!("TOML, as `zensaibo config {step}` prints it");
        Error::parameter("config", expected, format!("{} in line {line}", error.message()))
    })?;
    for assignment in assignments {
        assign(&mut table, assignment)?;
    }
    Ok(table)
}

/// The sections of a step as TOML under a title.
pub(super) fn template(step: &str, sections: &[SectionDoc]) -> String {
    let title = format!(
        "Options of `zensaibo {step}` (zensaibo {}), each with its default.\n\
         Keep what you change, delete the rest: what is absent has its default, what is unknown is refused.\n\
         An option with a # before it is unset; take the # away and give a value to set it.",
        env!("CARGO_PKG_VERSION")
    );
    print(&title, sections)
}

/// All values as text, section by section.
pub(super) fn values<T: Serialize>(config: &T, sections: &[SectionDoc]) -> Vec<(String, Vec<(String, String)>)> {
    let table = Table::try_from(config).unwrap_or_default();
    let of = |section: &SectionDoc| {
        let values = table.get(section.name).and_then(Value::as_table);
        let text =
            |name: &str| values.and_then(|values| values.get(name)).map_or("unset".to_string(), Value::to_string);
        let fields = section.fields.iter().map(|field| (field.name.to_string(), text(field.name))).collect();
        (section.name.to_string(), fields)
    };
    sections.iter().map(of).collect()
}

/// Describes the options struct `T` as section `name`.
pub(super) fn describe<T: Options>(name: &'static str, doc: &'static str) -> SectionDoc {
    let defaults = Table::try_from(T::default()).unwrap_or_default();
    let fields = T::fields()
        .into_iter()
        .map(|field| FieldDoc { name: field.name, doc: field.doc, default: defaults.get(field.name).cloned() })
        .collect();
    SectionDoc { name, doc, fields }
}

/// Takes section `name` out of `table` as options of type `T`; absent options take their defaults.
///
/// # Errors
/// [`Error::Parameter`] naming `section.option` for an unknown option (with the nearest known one), a value of
/// the wrong type, or a value out of range.
pub(super) fn take<T: Options>(table: &mut Table, name: &'static str) -> Result<T> {
    let section = match table.remove(name) {
        None => return Ok(T::default()),
        Some(Value::Table(section)) => section,
        Some(other) => {
            let expected = format!("a section `[{name}]` with options below it");
            return Err(Error::parameter(name, expected, format!("{} ({other})", other.type_str())));
        }
    };
    let known: Vec<&str> = T::fields().iter().map(|field| field.name).collect();
    for (key, value) in &section {
        let full = format!("{name}.{key}");
        if !known.contains(&key.as_str()) {
            return Err(Error::parameter(full, expected_name("an option", key, &known), "an unknown option"));
        }
        // One option at a time, so that a wrong type is blamed on its option.
        let single: Table = [(key.clone(), value.clone())].into_iter().collect();
        if let Err(error) = Value::Table(single).try_into::<T>() {
            let message = error.message().to_string();
            let (found, expected) = message
                .split_once(", expected ")
                .map_or((message.as_str(), "a value of the right type"), |(found, expected)| (found, expected));
            return Err(Error::parameter(full, expected, found));
        }
    }
    let options: T = Value::Table(section)
        .try_into()
        .map_err(|error: toml::de::Error| Error::parameter(name, "options of the right type", error.message()))?;
    options.validate().map_err(|error| within(name, error))?;
    Ok(options)
}

/// Puts the section before the name of a refused parameter: "resolution" of leiden is "leiden.resolution".
pub(super) fn within(section: &str, error: Error) -> Error {
    match error {
        Error::Parameter { name, expected, found } => {
            let known = name.split(['.', ' ', '/']).next() == Some(section);
            let name = if known { name } else { format!("{section}.{name}") };
            Error::Parameter { name, expected, found }
        }
        other => other,
    }
}

/// Refuses sections that are left in `table` after all known ones were taken.
///
/// # Errors
/// [`Error::Parameter`] naming the section and the nearest known one.
pub(super) fn refuse_rest(table: &Table, known: &[&str]) -> Result<()> {
    match table.keys().next() {
        None => Ok(()),
        Some(key) => {
            let what = if table[key].is_table() { "an unknown section" } else { "an option outside of any section" };
            Err(Error::parameter(key, expected_name("a section", key, known), what))
        }
    }
}

/// Sets `section.option=value` in a table. The value is read as TOML; what is no TOML is taken as text.
///
/// # Errors
/// [`Error::Parameter`] when the assignment has not this form.
pub(super) fn assign(table: &mut Table, assignment: &str) -> Result<()> {
    let form = || Error::parameter("--set", "SECTION.OPTION=VALUE, as in leiden.resolution=0.5", assignment);
    let (path, text) = assignment.split_once('=').ok_or_else(form)?;
    let (section, key) = path.trim().split_once('.').ok_or_else(form)?;
    if section.is_empty() || key.is_empty() || key.contains('.') {
        return Err(form());
    }
    let text = text.trim();
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .filter(|parsed| parsed.len() == 1)
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_string()));
    match table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(options) => {
            options.insert(key.to_string(), value);
            Ok(())
        }
        _ => Err(form()),
    }
}

/// The sections as a TOML file with their manual; options that are unset by default are commented out.
pub(super) fn print(title: &str, sections: &[SectionDoc]) -> String {
    let mut text = String::new();
    for line in title.lines() {
        text.push_str(&format!("# {line}\n"));
    }
    for section in sections {
        text.push('\n');
        comment(&mut text, section.doc);
        text.push_str(&format!("[{}]\n", section.name));
        for field in &section.fields {
            text.push('\n');
            comment(&mut text, field.doc);
            match &field.default {
                Some(value) => text.push_str(&format!("{} = {value}\n", field.name)),
                None => text.push_str(&format!("# {} =\n", field.name)),
            }
        }
    }
    text
}

fn comment(text: &mut String, doc: &str) {
    for line in doc.lines() {
        let line = line.trim();
        text.push_str(if line.is_empty() { "#" } else { "# " });
        text.push_str(line);
        text.push('\n');
    }
}

/// "an option among a, b, c; did you mean `b`?"
fn expected_name(what: &str, wrong: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(wrong, known) {
        Some(name) => format!("{what} among {list}; did you mean `{name}`?"),
        None => format!("{what} among {list}"),
    }
}

/// The known name with the fewest edits to `wrong`, when that is at most a third of its letters (at least 2).
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let (distance, name) = known.iter().map(|name| (edits(&wrong, &name.to_lowercase()), *name)).min()?;
    (distance <= (wrong.chars().count() / 3).max(2)).then_some(name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for j in 0..=b.len() {
        rows[0][j] = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use zensaibo_core::options;

    options! {
        /// An example.
        pub struct Example("example") {
            /// How many.
            ///
            /// Larger is slower.
            pub count: usize = 3,
            /// Perhaps.
            pub ratio: Option<f64> = None,
            /// A limit that may be without end.
            pub limit: f64 = f64::INFINITY,
            /// A name.
            pub name: String = "a \"b\"".into(),
        }
    }

    impl Example {
        fn check(&self) -> Result<()> {
            if self.count == 0 {
                return Err(Error::parameter("count", "at least 1", self.count));
            }
            Ok(())
        }
    }

    fn read(text: &str) -> Result<Example> {
        let mut table: Table = text.parse().unwrap();
        let example = take(&mut table, "example")?;
        refuse_rest(&table, &["example"])?;
        Ok(example)
    }

    #[test]
    fn what_is_printed_reads_back_as_the_default() {
        let text = print("Title\nline", &[describe::<Example>("example", " An example.")]);
        assert!(text.starts_with("# Title\n# line\n\n# An example.\n[example]\n"), "{text}");
        assert!(text.contains("# How many.\n#\n# Larger is slower.\ncount = 3\n"), "{text}");
        assert!(text.contains("# Perhaps.\n# ratio =\n"), "{text}");
        assert!(text.contains("limit = inf\n"), "{text}");
        assert_eq!(read(&text).unwrap(), Example::default());
    }

    #[test]
    fn whole_numbers_serve_as_fractions() {
        assert_eq!(read("[example]\nratio = 2\nlimit = 7").unwrap().ratio, Some(2.0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| read(text).unwrap_err().to_string();
        let unknown = refused("[example]\ncuont = 1");
        assert!(unknown.contains("example.cuont") && unknown.contains("did you mean `count`?"), "{unknown}");
        let far = refused("[example]\nzzzzzz = 1");
        assert!(far.contains("count, ratio, limit, name") && !far.contains("did you mean"), "{far}");
        let kind = refused("[example]\ncount = \"many\"");
        assert!(kind.contains("example.count") && kind.contains("usize") && kind.contains("many"), "{kind}");
        let range = refused("[example]\ncount = 0");
        assert!(range.contains("example.count") && range.contains("at least 1"), "{range}");
        let section = refused("[exampel]\ncount = 1");
        assert!(section.contains("unknown section") && section.contains("did you mean `example`?"), "{section}");
        assert!(refused("count = 1").contains("outside of any section"));
        assert!(refused("example = 1").contains("[example]"));
    }

    #[test]
    fn assignments_set_one_option() {
        let mut table = Table::new();
        assign(&mut table, "example.count=5").unwrap();
        assign(&mut table, "example.name = plain words").unwrap();
        assign(&mut table, "example.ratio=0.5").unwrap();
        let example: Example = take(&mut table, "example").unwrap();
        assert_eq!((example.count, example.name.as_str(), example.ratio), (5, "plain words", Some(0.5)));
        for bad in ["count=5", "example.count", ".count=1", "example.=1", "a.b.c=1"] {
            assert!(assign(&mut Table::new(), bad).unwrap_err().to_string().contains("SECTION.OPTION=VALUE"), "{bad}");
        }
    }

    #[test]
    fn edits_by_hand() {
        assert_eq!(edits("count", "count"), 0);
        assert_eq!(edits("cuont", "count"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("resolutoin", &["resolution", "seed"]), Some("resolution"));
        assert_eq!(nearest("x", &["resolution"]), None);
    }
}
