//! From the table of operations to the types that name them all.

/// Makes the types that name every operation from the table, and hands each call on to the operation's file.
macro_rules! operations {
    ($($kind:ident = $name:ident),* $(,)?) => {
        /// One table of a profile for each operation.
        #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
        #[serde(deny_unknown_fields)]
        pub struct Operations {
            $(#[doc = concat!("`[operations.", stringify!($name), "]`, see [`", stringify!($name), "`].")]
            pub $name: $name::Settings,)*
        }

        /// One operation with what was drawn for it: all that is needed to apply it again.
        #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
        #[serde(tag = "name", rename_all = "lowercase")]
        pub enum Operation {
            $(#[doc = concat!("See [`", stringify!($name), "`].")]
            $kind($name::Drawn),)*
        }

        /// An operation without parameters.
        #[derive(Clone, Copy)]
        enum Kind {
            $($kind),*
        }

        const KINDS: &[Kind] = &[$(Kind::$kind),*];

        /// The operations' names, in the order of [`Operations`] and [`Operation`].
        pub const NAMES: [&str; KINDS.len()] = [$(stringify!($name)),*];

        impl Operations {
            /// The tables of the profile `safe`.
            pub(super) fn safe() -> Self {
                Self { $($name: Configured::safe()),* }
            }

            /// The tables of the profile `reference`.
            pub(super) fn reference() -> Self {
                Self { $($name: Configured::reference()),* }
            }

            /// How often each is drawn, in the order of [`NAMES`].
            pub(super) fn weights(&self) -> [f64; NAMES.len()] {
                [$(self.$name.weight()),*]
            }

            /// Checks every key.
            pub(super) fn check(&self) -> Result<()> {
                $({
                    let keys = Keys::of_operation(stringify!($name));
                    keys.within("weight", self.$name.weight(), [0.0, 1e9])?;
                    self.$name.check(keys)?;
                })*
                Ok(())
            }

            /// Draws the parameters of `NAMES[index]` for an image of `width` × `height` pixels.
            pub(super) fn draw(
                &self,
                index: usize,
                width: usize,
                height: usize,
                rng: &mut impl Rng,
            ) -> Operation {
                match KINDS[index] {
                    $(Kind::$kind => Operation::$kind(self.$name.draw(width, height, rng)),)*
                }
            }
        }

        impl Operation {
            /// Its place in [`NAMES`].
            pub fn index(&self) -> usize {
                match self {
                    $(Self::$kind(_) => Kind::$kind as usize,)*
                }
            }

            /// Whether it moves pixels and leaves their levels alone.
            pub fn is_geometric(&self) -> bool {
                fn of<T: Apply>(_: &T) -> bool {
                    T::IS_GEOMETRIC
                }
                match self {
                    $(Self::$kind(drawn) => of(drawn),)*
                }
            }

            /// Changes an image. Returns how many of its pixels now show what lies outside the original.
            pub fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
                match self {
                    $(Self::$kind(drawn) => drawn.apply(image, border, scratch),)*
                }
            }

            /// The parameters in a few characters, for the preview.
            pub fn label(&self) -> String {
                match self {
                    $(Self::$kind(drawn) => drawn.label(),)*
                }
            }
        }
    };
}
