//! Options structs that are their own manual.
//!
//! [`options!`](crate::options!) declares a struct whose fields each carry their documentation and their
//! default, once. From that one place come the Rust `Default`, the TOML that `zensaibo config` prints, the
//! refusal of unknown keys, the Python keyword defaults (a test compares them) and the provenance record.

/// What is known of one field of an options struct.
#[derive(Clone, Debug)]
pub struct OptionField {
    /// Name, the same in Rust, TOML and Python.
    pub name: &'static str,
    /// Its manual, one line per line of the doc comment.
    pub doc: &'static str,
}

/// An options struct that can describe itself.
pub trait Options: Default + Clone + serde::Serialize + serde::de::DeserializeOwned {
    /// Short name, used as section of the TOML file and as key of the provenance.
    const NAME: &'static str;

    /// The fields in order of declaration.
    fn fields() -> Vec<OptionField>;

    /// Checks every field; called first by the algorithm.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] naming the field, its range and the value.
    fn validate(&self) -> crate::Result<()>;

    /// Reads options from JSON; absent fields take their defaults, unknown fields are refused.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] naming the field.
    fn from_json(text: &str) -> crate::Result<Self> {
        let options: Self = serde_json::from_str(text).map_err(|error| {
            // The position inside our own JSON means nothing to the caller.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_string();
            crate::Error::parameter(Self::NAME, "known options of the right type", message)
        })?;
        options.validate()?;
        Ok(options)
    }

    /// The options as JSON, for provenance.
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Declares an options struct: `pub struct Name("key") { /// doc \n pub field: Type = default, ... }`.
///
/// The struct gets `Clone, Debug, PartialEq, Default`, serde with `deny_unknown_fields`, and an
/// [`Options`](crate::options::Options) implementation whose `validate` calls the struct's own
/// `fn check(&self) -> Result<()>`, which the module must provide.
#[macro_export]
macro_rules! options {
    (
        $(#[doc = $struct_doc:literal])*
        pub struct $name:ident($key:literal) {
            $( $(#[doc = $doc:literal])* pub $field:ident : $type:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $struct_doc])*
        // Private modules, as of tests, declare options too.
        #[allow(unreachable_pub)]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::options::Options for $name {
            const NAME: &'static str = $key;

            fn fields() -> Vec<$crate::options::OptionField> {
                vec![ $( $crate::options::OptionField {
                    name: stringify!($field),
                    doc: concat!($($doc, "\n",)* ""),
                }, )* ]
            }

            fn validate(&self) -> $crate::Result<()> {
                self.check()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::Options;

    options! {
        /// An example.
        pub struct Example("example") {
            /// How many.
            /// Larger is slower.
            pub count: usize = 3,
            /// Perhaps.
            pub ratio: Option<f64> = None,
        }
    }

    impl Example {
        fn check(&self) -> crate::Result<()> {
            if self.count == 0 {
                return Err(crate::Error::parameter("count", "at least 1", self.count));
            }
            Ok(())
        }
    }

    #[test]
    fn defaults_docs_and_refusals() {
        assert_eq!(Example::from_json("{}").unwrap(), Example { count: 3, ratio: None });
        assert_eq!(Example::from_json(r#"{"ratio": 0.5}"#).unwrap().ratio, Some(0.5));
        assert_eq!(Example::fields()[0].doc, " How many.\n Larger is slower.\n");
        let unknown = Example::from_json(r#"{"cuont": 1}"#).unwrap_err().to_string();
        assert!(unknown.contains("cuont") && unknown.contains("count"), "{unknown}");
        assert!(Example::from_json(r#"{"count": 0}"#).unwrap_err().to_string().contains("at least 1"));
    }
}
