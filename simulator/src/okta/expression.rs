//! The small filter language of Okta's list calls: `status eq "ACTIVE" and (profile.login sw "a" or id eq "00u…")`.

use crate::clock::{iso, parse_iso};

/// A parsed `filter` or `search`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expression {
    Compare {
        attribute: String,
        operator: String,
        value: String,
    },
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Parses; the error is a sentence for the caller.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut rest = tokens.as_slice();
        let parsed = alternatives(&mut rest)?;
        match rest.first() {
            None => Ok(parsed),
            Some(token) => Err(format!("unexpected `{}`", token.text)),
        }
    }

    /// Whether an object matches; `lookup` gives the value of an attribute, `None` if it is unset.
    pub fn matches(&self, lookup: &dyn Fn(&str) -> Option<String>) -> bool {
        self.matches_any(&|name| lookup(name).into_iter().collect())
    }

    /// The same for attributes with several values: one of them has to match.
    pub fn matches_any(&self, lookup: &dyn Fn(&str) -> Vec<String>) -> bool {
        match self {
            Self::And(a, b) => a.matches_any(lookup) && b.matches_any(lookup),
            Self::Or(a, b) => a.matches_any(lookup) || b.matches_any(lookup),
            Self::Compare {
                attribute,
                operator,
                value,
            } => lookup(attribute).into_iter().any(|found| {
                // Times are compared as times, however many digits they have.
                let value = parse_iso(value).map_or_else(|| value.clone(), iso);
                let (found, value) = (found.to_lowercase(), value.to_lowercase());
                match operator.as_str() {
                    "eq" => found == value,
                    "ne" => found != value,
                    "sw" => found.starts_with(&value),
                    "ew" => found.ends_with(&value),
                    "co" => found.contains(&value),
                    "gt" => found > value,
                    "ge" => found >= value,
                    "lt" => found < value,
                    "le" => found <= value,
                    _ => operator == "pr",
                }
            }),
        }
    }

    /// Every attribute that is compared.
    pub fn attributes(&self) -> Vec<&str> {
        match self {
            Self::And(a, b) | Self::Or(a, b) => [a.attributes(), b.attributes()].concat(),
            Self::Compare { attribute, .. } => vec![attribute],
        }
    }

    /// The value of a filter that is nothing but `attribute eq "value"`.
    pub fn only_equals(&self, wanted: &str) -> Option<&str> {
        match self {
            Self::Compare {
                attribute,
                operator,
                value,
            } if attribute == wanted && operator == "eq" => Some(value),
            _ => None,
        }
    }
}

struct Token {
    text: String,
    quoted: bool,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
        } else if c == '(' || c == ')' {
            chars.next();
            found.push(Token {
                text: c.to_string(),
                quoted: false,
            });
        } else if c == '"' {
            chars.next();
            let mut value = String::new();
            loop {
                match chars.next() {
                    None => return Err("a quote is not closed".to_owned()),
                    Some('"') => break,
                    Some('\\') => value.extend(chars.next()),
                    Some(other) => value.push(other),
                }
            }
            found.push(Token {
                text: value,
                quoted: true,
            });
        } else {
            let mut word = String::new();
            while let Some(&c) = chars.peek() {
                if c.is_whitespace() || matches!(c, '(' | ')' | '"') {
                    break;
                }
                word.push(c);
                chars.next();
            }
            found.push(Token {
                text: word,
                quoted: false,
            });
        }
    }
    Ok(found)
}

fn take<'a>(rest: &mut &'a [Token]) -> Option<&'a Token> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn alternatives(rest: &mut &[Token]) -> Result<Expression, String> {
    let mut left = conjunction(rest)?;
    while rest.first().is_some_and(|token| token.is("or")) {
        take(rest);
        left = Expression::Or(Box::new(left), Box::new(conjunction(rest)?));
    }
    Ok(left)
}

fn conjunction(rest: &mut &[Token]) -> Result<Expression, String> {
    let mut left = primary(rest)?;
    while rest.first().is_some_and(|token| token.is("and")) {
        take(rest);
        left = Expression::And(Box::new(left), Box::new(primary(rest)?));
    }
    Ok(left)
}

fn primary(rest: &mut &[Token]) -> Result<Expression, String> {
    let first = take(rest).ok_or("the expression ends too early")?;
    if first.is("(") {
        let inner = alternatives(rest)?;
        return match take(rest) {
            Some(token) if token.is(")") => Ok(inner),
            _ => Err("a parenthesis is not closed".to_owned()),
        };
    }
    let operator = take(rest)
        .ok_or("an operator is missing")?
        .text
        .to_lowercase();
    if !["eq", "ne", "sw", "ew", "co", "gt", "ge", "lt", "le", "pr"].contains(&operator.as_str()) {
        return Err(format!("unknown operator `{operator}`"));
    }
    let value = match operator.as_str() {
        "pr" => String::new(),
        _ => match take(rest) {
            Some(token) if token.quoted => token.text.clone(),
            _ => return Err("a quoted value is missing".to_owned()),
        },
    };
    Ok(Expression::Compare {
        attribute: first.text.clone(),
        operator,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_binds_stronger_than_or() {
        let parsed =
            Expression::parse(r#"a eq "1" or b eq "2" and (c pr or d co "x\"y")"#).unwrap();
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            }
        };
        assert!(parsed.matches(&with(&[("a", "1")])));
        assert!(!parsed.matches(&with(&[("b", "2")])));
        assert!(parsed.matches(&with(&[("b", "2"), ("d", "..x\"y..")])));
        assert_eq!(parsed.attributes(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn half_an_expression_is_refused() {
        for text in [
            "",
            "a",
            "a eq",
            "a eq b",
            "a is \"b\"",
            "(a eq \"b\"",
            "a eq \"b\" c",
            "a eq \"b",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
