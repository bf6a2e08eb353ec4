//! The `Link` header (RFC 8288), read strictly. The way to the next page has to be beyond doubt, because an overlooked
//! link would look like the end of the list.

use http::HeaderMap;
use http::header::LINK;

/// The target of `rel="next"`; `None` when every link is readable and none has this relation.
///
/// # Errors
/// When any part of any `Link` header cannot be read, or two different pages are called the next one.
pub(crate) fn next_link(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut next: Option<&str> = None;
    for header in headers.get_all(LINK) {
        let text = header
            .to_str()
            .map_err(|_| "a Link header that is not text")?;
        for link in links(text)? {
            if !link
                .relations
                .iter()
                .any(|relation| relation.eq_ignore_ascii_case("next"))
            {
                continue;
            }
            if next.is_some_and(|other| other != link.target) {
                return Err("two next-page links");
            }
            next = Some(link.target);
        }
    }
    Ok(next.map(str::to_owned))
}

struct Link<'a> {
    target: &'a str,
    relations: Vec<String>,
}

fn links(text: &str) -> Result<Vec<Link<'_>>, &'static str> {
    let mut found = Vec::new();
    // Elements of a list may be empty (RFC 9110, 5.6.1).
    let between = |text: &'static [char]| move |c: char| text.contains(&c);
    let mut rest = text.trim_start_matches(between(&[' ', '\t', ',']));
    while !rest.is_empty() {
        let inner = rest.strip_prefix('<').ok_or("a Link header without <")?;
        let (target, after) = inner.split_once('>').ok_or("a Link header without >")?;
        if target.is_empty() || target.contains(['<', '"', ' ', '\t']) {
            return Err("a Link header whose address cannot be read");
        }
        let mut relations = None;
        rest = after.trim_start_matches(between(&[' ', '\t']));
        while let Some(parameter) = rest.strip_prefix(';') {
            let (name, value, after) = parameter_of(parameter)?;
            if name.eq_ignore_ascii_case("rel") && relations.replace(value).is_some() {
                return Err("a Link header with two relations");
            }
            rest = after;
        }
        let relations = relations.ok_or("a Link header without a relation")?;
        let relations = relations
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        found.push(Link { target, relations });
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err("a Link header that goes on after its end");
        }
        rest = rest.trim_start_matches(between(&[' ', '\t', ',']));
    }
    Ok(found)
}

/// The name and value of the parameter that `text` begins with, and what follows it.
fn parameter_of(text: &str) -> Result<(&str, String, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text
        .find(|c: char| "=;, \t".contains(c))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t']);
    if name.is_empty() || name.contains(['<', '>', '"']) {
        return Err("a Link header with a parameter that cannot be read");
    }
    let Some(value) = rest.strip_prefix('=') else {
        return Ok((name, String::new(), rest));
    };
    let value = value.trim_start_matches([' ', '\t']);
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = value
                .find(|c: char| ";, \t".contains(c))
                .unwrap_or(value.len());
            let (value, rest) = value.split_at(end);
            if value.is_empty() || value.contains(['<', '>', '"']) {
                return Err("a Link header with a parameter that cannot be read");
            }
            (value.to_owned(), rest)
        }
    };
    Ok((name, value, rest.trim_start_matches([' ', '\t'])))
}

/// The text before the closing quote, and the rest.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(rest.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    Err("a Link header without a closing quote")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(links: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append(LINK, HeaderValue::from_bytes(link).unwrap());
        }
        next_link(&headers)
    }

    #[test]
    fn the_next_link_is_found_in_every_form() {
        let cases: [(&[&[u8]], Option<&str>); 8] = [
            (
                &[
                    b"<https://a/x>; rel=\"self\"",
                    b"<https://a/y?after=1,2>; rel=\"next\"",
                ],
                Some("https://a/y?after=1,2"),
            ),
            (
                &[b"<https://a/x>; rel=\"self\", <https://a/y>; rel=\"next\""],
                Some("https://a/y"),
            ),
            (
                &[b"<https://a/y>; title=\"t;,<\\\">\"; rel=next"],
                Some("https://a/y"),
            ),
            (
                &[b"<https://a/y>;REL = \"last  Next\";x"],
                Some("https://a/y"),
            ),
            (
                &[b"<https://a/y>; rel=next", b"<https://a/y>; rel=next"],
                Some("https://a/y"),
            ),
            (&[b"<https://a/x>; rel=\"self\""], None),
            (&[b" , "], None),
            (&[], None),
        ];
        for (links, found) in cases {
            assert_eq!(next(links), Ok(found.map(str::to_owned)), "{links:?}");
        }
    }

    #[test]
    fn a_doubtful_link_is_an_error() {
        let cases: [&[&[u8]]; 11] = [
            &[b"<https://a/\xff>; rel=\"next\""],
            &[b"<https://a/y; rel=\"next\""],
            &[b"https://a/y; rel=\"next\""],
            &[b"<>; rel=\"next\""],
            &[b"<https://a/y>"],
            &[b"<https://a/y>; rel=\"next"],
            &[b"<https://a/y>; rel=\"self\"; rel=\"next\""],
            &[b"<https://a/y>; rel=\"next\" <https://a/z>; rel=\"self\""],
            &[b"<https://a/y>; rel=next, <https://a/z>; rel=next"],
            &[b"<https://a/x>; rel=self", b"<https://a/y>; =next"],
            &[b"<https://a/x>; rel=self", b"junk"],
        ];
        for links in cases {
            assert!(next(links).is_err(), "{links:?}");
        }
    }
}
