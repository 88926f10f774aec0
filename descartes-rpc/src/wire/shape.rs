//! The two macros that declare structs of the wire: `params!` (strict) and `shape!` (open).
//!
//! Both read like a struct whose optional members are marked `name?: Type`; a member that is absent
//! is never written as `null`.

/// The member's name on the wire: a word of Rust is written `r#for` in the declaration.
pub(crate) const fn member(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares what a client sends: an unknown member is refused, members have a position.
///
/// `params! { mutating pub struct … }` also takes `idempotency_key`, as the last member.
macro_rules! params {
    ($(#[$meta:meta])* mutating pub struct $Name:ident { $($body:tt)* }) => {
        $crate::wire::shape::params!(@munch [$(#[$meta])*] $Name [] [] [mutating] $($body)*
            /// Makes repeating this call safe: the same key with the same parameters gives the
            /// outcome of the first call.
            #[schemars(length(min = 1, max = 128))]
            idempotency_key?: String,
        );
    };
    ($(#[$meta:meta])* pub struct $Name:ident { $($body:tt)* }) => {
        $crate::wire::shape::params!(@munch [$(#[$meta])*] $Name [] [] [reading] $($body)*);
    };
    (@munch $meta:tt $Name:ident [$($done:tt)*] [$($names:tt)*] $kind:tt
        $(#[$field_meta:meta])* $field:ident ? : $ty:ty, $($rest:tt)*) => {
        $crate::wire::shape::params!(@munch $meta $Name
            [$($done)* $(#[$field_meta])* #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$ty>,]
            [$($names)* $crate::wire::shape::member(stringify!($field)),] $kind $($rest)*);
    };
    (@munch $meta:tt $Name:ident [$($done:tt)*] [$($names:tt)*] $kind:tt
        $(#[$field_meta:meta])* $field:ident : $ty:ty, $($rest:tt)*) => {
        $crate::wire::shape::params!(@munch $meta $Name
            [$($done)* $(#[$field_meta])* pub $field: $ty,]
            [$($names)* $crate::wire::shape::member(stringify!($field)),] $kind $($rest)*);
    };
    (@munch [$($meta:tt)*] $Name:ident [$($done:tt)*] [$($names:tt)*] [$kind:ident]) => {
        $($meta)*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $Name { $($done)* }

        impl $crate::method::MethodParams for $Name {
            const MEMBERS: &'static [&'static str] = &[$($names)*];
            $crate::wire::shape::params!(@key $kind);
        }
    };
    (@key mutating) => {
        fn idempotency_key(&self) -> Option<&str> {
            self.idempotency_key.as_deref()
        }

        fn take_idempotency_key(&mut self) -> Option<String> {
            self.idempotency_key.take()
        }
    };
    (@key reading) => {};
}

/// Declares what the daemon sends: a member of a later daemon is ignored.
macro_rules! shape {
    ($(#[$meta:meta])* pub struct $Name:ident { $($body:tt)* }) => {
        $crate::wire::shape::shape!(@munch [$(#[$meta])*] $Name [] $($body)*);
    };
    (@munch $meta:tt $Name:ident [$($done:tt)*]
        $(#[$field_meta:meta])* $field:ident ? : $ty:ty, $($rest:tt)*) => {
        $crate::wire::shape::shape!(@munch $meta $Name
            [$($done)* $(#[$field_meta])* #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$ty>,]
            $($rest)*);
    };
    (@munch $meta:tt $Name:ident [$($done:tt)*]
        $(#[$field_meta:meta])* $field:ident : $ty:ty, $($rest:tt)*) => {
        $crate::wire::shape::shape!(@munch $meta $Name
            [$($done)* $(#[$field_meta])* pub $field: $ty,] $($rest)*);
    };
    (@munch [$($meta:tt)*] $Name:ident [$($done:tt)*]) => {
        $($meta)*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[non_exhaustive]
        pub struct $Name { $($done)* }
    };
}

/// Declares a closed set of words that a later daemon may extend: what this library does not know
/// is read as `Unknown`.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $Name:ident {
        $($(#[$variant_meta:meta])* $Variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Name {
            $($(#[$variant_meta])* $Variant,)+
            /// A word of a later daemon.
            Unknown,
        }

        impl $Name {
            /// The words that this library knows.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            /// The word of the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $text,)+
                    Self::Unknown => "unknown",
                }
            }

            /// What `word` means, [`Self::Unknown`] when this library does not know it.
            #[must_use]
            pub fn from_word(word: &str) -> Self {
                match word {
                    $($text => Self::$Variant,)+
                    _ => Self::Unknown,
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(input)?;
                Ok(Self::from_word(&word))
            }
        }

        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": Self::WORDS })
            }
        }
    };
}

pub(crate) use {params, shape, words};
