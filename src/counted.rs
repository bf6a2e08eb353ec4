//! Numbers of things, in words.

/// "1 person", "3 people".
pub fn counted(count: usize, one: &str, many: &str) -> String {
    let what = if count == 1 { one } else { many };
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_one() {
        let people = |count| counted(count, "person", "people");
        assert_eq!([0, 1, 2].map(people), ["0 people", "1 person", "2 people"]);
    }
}
