//! Enums whose variants are words of records, metrics and settings. Each word is written once.

/// Such an enum. Serde reads and writes the words.
macro_rules! words {
    ($(#[$of_enum:meta])* $vis:vis enum $name:ident {
        $($(#[$of_variant:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $($(#[$of_variant])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            #[allow(dead_code, reason = "not every such enum is listed")]
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Each by its word.
            #[allow(dead_code, reason = "not every such enum is a setting")]
            pub const WORDS: [(&'static str, Self); Self::ALL.len()] =
                [$(($word, Self::$variant)),+];

            /// The word of records, metrics and settings.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    words! {
        #[derive(Default)]
        enum Fruit {
            Apple = "apple",
            #[default]
            BloodOrange = "orange_2",
        }
    }

    #[test]
    fn serde_knows_each_by_its_word() {
        assert_eq!(Fruit::ALL, [Fruit::Apple, Fruit::default()]);
        assert_eq!(Fruit::ALL.map(Fruit::as_str), ["apple", "orange_2"]);
        for fruit in Fruit::ALL {
            let written = serde_json::to_value(fruit).unwrap();
            assert_eq!(written, fruit.as_str());
            assert_eq!(serde_json::from_value::<Fruit>(written).unwrap(), fruit);
        }
    }
}
