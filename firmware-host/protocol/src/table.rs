//! How the table of [`message`](crate::message) becomes structures, an enumeration and the lines of the schema.

use crate::field::Type;

/// One line of the schema: what stands on the wire for a structure.
pub(crate) struct Line {
    /// Number of a message; `None` for a structure inside messages.
    pub(crate) kind: Option<u8>,
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [(&'static str, Type)],
}

/// Defines a structure whose fields stand on the wire one after another.
macro_rules! layout {
    ($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name $(<$life>)? { $($(#[$doc])* pub $field: $type,)* }

        impl<'a> $crate::field::Field<'a> for $name $(<$life>)? {
            const TYPE: $crate::field::Type = $crate::field::Type::plain(stringify!($name));
            const MIN: usize = 0 $(+ <$type as $crate::field::Field<'a>>::MIN)*;
            const MAX: usize = 0 $(+ <$type as $crate::field::Field<'a>>::MAX)*;
            #[allow(unused_variables)]
            fn put(
                &self,
                out: &mut impl $crate::field::Sink,
            ) -> core::result::Result<(), $crate::field::Full> {
                $($crate::field::Field::put(&self.$field, out)?;)*
                Ok(())
            }
            #[allow(unused_variables)]
            fn take(
                from: &mut $crate::field::Take<'a>,
            ) -> core::result::Result<Self, $crate::field::Malformed> {
                $(
                    from.field = stringify!($field);
                    let $field = $crate::field::Field::take(from)?;
                )*
                Ok($name { $($field,)* })
            }
        }

        impl<'a> core::fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), $crate::table::shown!($field, &self.$field)))*
                    .finish()
            }
        }

        impl<'a> $name $(<$life>)? {
            pub(crate) const LINE: &'static [(&'static str, $crate::field::Type)] =
                &[$((stringify!($field), <$type as $crate::field::Field<'a>>::TYPE)),*];
        }
    };
}
pub(crate) use layout;

/// What a field shows of itself where messages are logged: a token nothing.
macro_rules! shown {
    (token, $value:expr) => {
        &format_args!("({} bytes)", $value.len())
    };
    ($field:ident, $value:expr) => {
        $value
    };
}
pub(crate) use shown;

/// Defines all messages: `number Name { field: type, ... }` each.
macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        $kind:literal $name:ident $(<$life:lifetime>)? { $($fields:tt)* }
    )*) => {
        $(
            layout! { $(#[$meta])* $name $(<$life>)? { $($fields)* } }

            impl<'a> $name $(<$life>)? {
                /// The message's number.
                pub const KIND: u8 = $kind;
                /// Bytes of the payload at least: with all that varies in length empty.
                pub const MIN_SIZE: usize = <Self as Field<'a>>::MIN;
                /// Bytes of the payload at most.
                pub const MAX_SIZE: usize =
                    if <Self as Field<'a>>::MAX < MAX_PAYLOAD { <Self as Field<'a>>::MAX } else { MAX_PAYLOAD };
            }

            impl<'a> From<$name $(<$life>)?> for Message<'a> {
                fn from(message: $name $(<$life>)?) -> Self {
                    Message::$name(message)
                }
            }
        )*

        /// Any message.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is what the structure of its name says")]
        // Messages live on the stack of who handles them, one at a time.
        #[allow(clippy::large_enum_variant)]
        pub enum Message<'a> {
            $($name($name $(<$life>)?),)*
        }

        impl<'a> Message<'a> {
            /// All kinds that this version has, with their names.
            pub const KINDS: &'static [(u8, &'static str)] = &[$(($kind, stringify!($name))),*];

            /// The number of this message.
            pub const fn kind(&self) -> u8 {
                match self {
                    $(Message::$name(_) => $kind,)*
                }
            }

            /// Reads a payload that [`open`](crate::open) gave.
            ///
            /// # Errors
            /// See [`Malformed`]. Numbers without a name are no error.
            pub fn decode(kind: u8, payload: &'a [u8]) -> core::result::Result<Self, Malformed> {
                let mut from = Take::new(payload);
                let message = match kind {
                    $($kind => Message::$name($name::take(&mut from)?),)*
                    other => return Err(Malformed::Kind(other)),
                };
                match from.left() {
                    0 => Ok(message),
                    bytes => Err(Malformed::Trailing(bytes)),
                }
            }

            /// Writes the payload.
            pub(crate) fn put(&self, out: &mut impl Sink) -> core::result::Result<(), Full> {
                match self {
                    $(Message::$name(message) => message.put(out),)*
                }
            }
        }

        pub(crate) const LINES: &[Line] = &[
            Line { kind: None, name: "Point", fields: Point::LINE },
            Line { kind: None, name: "Rect", fields: Rect::LINE },
            $(Line { kind: Some($kind), name: stringify!($name), fields: $name::LINE },)*
        ];
    };
}
pub(crate) use messages;
