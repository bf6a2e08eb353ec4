//! Who has a name, without looking at everybody: creating ten thousand users would otherwise compare each with all.

use std::collections::{BTreeMap, HashMap};

/// Names, ignoring case, and who has them. Worlds are plain data that anybody may edit, so a hit is checked and the index is
/// rebuilt when it does not fit the number of objects; a name that was edited in directly may be missed.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex {
    ids: HashMap<String, String>,
    objects: usize,
}

impl NameIndex {
    /// The id of the object with this name; `name_of` is `None` for objects that do not count.
    pub fn owner<T>(
        &mut self,
        name: &str,
        objects: &BTreeMap<String, T>,
        name_of: impl Fn(&T) -> Option<&str>,
    ) -> Option<&str> {
        let key = name.to_lowercase();
        let fits = |id: &String| {
            let found = objects.get(id).and_then(&name_of);
            found.is_some_and(|found| found.to_lowercase() == key)
        };
        if self.objects != objects.len() || self.ids.get(&key).is_some_and(|id| !fits(id)) {
            let named = objects
                .iter()
                .filter_map(|(id, object)| Some((name_of(object)?.to_lowercase(), id.clone())));
            self.ids = named.collect();
            self.objects = objects.len();
        }
        self.ids.get(&key).map(String::as_str)
    }

    /// Takes note of a new object.
    pub fn added(&mut self, name: Option<&str>, id: &str) {
        self.objects += 1;
        self.named(name, id);
    }

    /// Takes note of a new or changed name.
    pub fn named(&mut self, name: Option<&str>, id: &str) {
        if let Some(name) = name {
            self.ids.insert(name.to_lowercase(), id.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_does_not_fit_is_rebuilt() {
        let mut objects = BTreeMap::from([("1".to_owned(), "Ann".to_owned())]);
        let mut index = NameIndex::default();
        let name_of = |name: &String| Some(name.clone());
        let owner = |index: &mut NameIndex, name: &str, objects: &BTreeMap<String, String>| {
            index
                .owner(name, objects, |name| Some(name.as_str()))
                .map(str::to_owned)
        };
        assert_eq!(owner(&mut index, "ANN", &objects).as_deref(), Some("1"));
        objects.insert("2".to_owned(), "Ben".to_owned());
        assert_eq!(owner(&mut index, "ben", &objects).as_deref(), Some("2"));
        objects.insert("1".to_owned(), "Cem".to_owned());
        assert_eq!(owner(&mut index, "ann", &objects), None);
        assert_eq!(owner(&mut index, "cem", &objects).as_deref(), Some("1"));
        index.added(name_of(&"Dea".to_owned()).as_deref(), "3");
        objects.insert("3".to_owned(), "Dea".to_owned());
        objects.remove("2");
        assert_eq!(owner(&mut index, "ben", &objects), None);
    }
}
