//! Numbers with their nouns.

/// `1 change is`, `2 changes are`.
pub fn plural(count: usize, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    }
}

/// `1 user or group`, `2 users and groups`.
pub fn users_and_groups(count: usize) -> String {
    plural(count, "user or group", "users and groups")
}
