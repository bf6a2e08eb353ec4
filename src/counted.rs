//! Counts with their nouns.

/// "1 person", "3 people".
pub fn counted(count: usize, one: &str, many: &str) -> String {
    let what = if count == 1 { one } else { many };
    format!("{count} {what}")
}

/// "1 user or group", "3 users and groups".
pub fn users_and_groups(count: usize) -> String {
    counted(count, "user or group", "users and groups")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_of_one_is_singular() {
        let people = |count| counted(count, "person", "people");
        assert_eq!([0, 1, 2].map(people), ["0 people", "1 person", "2 people"]);
    }
}
