//! The parts of an OpenAPI 3.0 document that concern requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use jsonschema::Validator;
use okta_anypoint::simulator::traffic::RecordedRequest;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

pub struct Document {
    whole: Value,
    /// Validators by the text of their schema. Building one takes the whole document.
    validators: RefCell<HashMap<String, Rc<Validator>>>,
}

impl Document {
    /// Reads a file. A missing one fails the test, because `OPENAPI_DIR` promised it.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut document: Value = serde_yaml_ng::from_str(&text).expect("an OpenAPI document");
        adapt(&mut document);
        Self {
            whole: document,
            validators: RefCell::default(),
        }
    }

    fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("a reference inside");
            value = self
                .whole
                .pointer(pointer)
                .expect("a reference that resolves");
        }
        value
    }

    fn parameters<'a>(&'a self, item: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
        [item, operation]
            .iter()
            .filter_map(|of| of.get("parameters")?.as_array())
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .collect()
    }

    /// What is wrong with a request of an operation. `defects` are known errors of the document.
    pub fn check(
        &self,
        method: &str,
        template: &str,
        path: &str,
        request: &RecordedRequest,
        defects: &[(&str, &str)],
    ) -> Vec<String> {
        let item = &self.whole["paths"][template];
        let operation = &item[method.to_lowercase()];
        if operation.is_null() {
            return vec![format!("{method} {template} is not in the document")];
        }
        let parameters = self.parameters(item, operation);
        let mut problems = Vec::new();
        self.check_path(&parameters, template, path, &mut problems);
        self.check_query(&parameters, request, defects, &mut problems);
        self.check_body(operation, request, defects, &mut problems);
        problems.retain(|problem| {
            let known = |(kind, name): &(&str, &str)| {
                *kind == "read_only" && *problem == format!("read-only field `{name}`")
            };
            !defects.iter().any(known)
        });
        problems
    }

    fn check_path(
        &self,
        parameters: &[&Value],
        template: &str,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        for (name, value) in template.split('/').zip(path.split('/')) {
            let Some(name) = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')) else {
                continue;
            };
            let value = percent_decode_str(value).decode_utf8_lossy();
            match parameters
                .iter()
                .find(|p| p["in"] == "path" && p["name"] == name)
            {
                Some(parameter) => self.check_text(parameter, &value, problems),
                None => problems.push(format!("no path parameter `{name}`")),
            }
        }
    }

    fn check_query(
        &self,
        parameters: &[&Value],
        request: &RecordedRequest,
        defects: &[(&str, &str)],
        problems: &mut Vec<String>,
    ) {
        let in_query = || parameters.iter().filter(|p| p["in"] == "query");
        for (name, value) in &request.query {
            match in_query().find(|p| p["name"] == name.as_str()) {
                Some(parameter) => self.check_text(parameter, value, problems),
                None if defects.contains(&("query", name)) => {}
                None => problems.push(format!("unknown query parameter `{name}`")),
            }
        }
        for parameter in in_query().filter(|p| p["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            let given = request.query.iter().any(|(given, _)| given == name);
            if !given && !defects.contains(&("optional", name)) {
                problems.push(format!("query parameter `{name}` is missing"));
            }
        }
    }

    fn check_text(&self, parameter: &Value, text: &str, problems: &mut Vec<String>) {
        let schema = self.resolve(&parameter["schema"]);
        let values: Vec<(Value, &Value)> = match schema["type"].as_str() {
            Some("array") => text
                .split(',')
                .map(|item| (typed(&schema["items"], item), &schema["items"]))
                .collect(),
            _ => vec![(typed(schema, text), schema)],
        };
        for (value, schema) in values {
            let name = &parameter["name"];
            problems.extend(
                self.errors(schema, &value)
                    .into_iter()
                    .map(|error| format!("parameter {name}: {error}")),
            );
        }
    }

    fn check_body(
        &self,
        operation: &Value,
        request: &RecordedRequest,
        defects: &[(&str, &str)],
        problems: &mut Vec<String>,
    ) {
        let described = operation.get("requestBody").map(|body| self.resolve(body));
        let (described, body) = match (described, &request.body) {
            (None, None) => return,
            (None, Some(body)) => {
                let nothing = body.as_object().is_some_and(Map::is_empty);
                if !nothing && !defects.iter().any(|(kind, _)| *kind == "body") {
                    problems.push("a body that is not described".to_owned());
                }
                return;
            }
            (Some(described), None) => {
                if described["required"] == true || request.method != "DELETE" {
                    problems.push("the body is missing".to_owned());
                }
                return;
            }
            (Some(described), Some(body)) => (described, body),
        };
        let sent_as_json = request
            .headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("application/json"));
        if !sent_as_json {
            problems.push("the body is not sent as JSON".to_owned());
        }
        let mut schema = described["content"]["application/json"]["schema"].clone();
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| {
                let name = name.as_str().unwrap_or_default();
                !defects.contains(&("optional", name))
            });
            if required.is_empty() {
                schema
                    .as_object_mut()
                    .map(|schema| schema.remove("required"));
            }
        }
        problems.extend(self.errors(&schema, body));
        self.unknown_fields(&schema, body, "", problems);
    }

    /// The violations of a schema by a value. The schema may refer to this document's components.
    fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.validator(schema);
        validator
            .iter_errors(value)
            .map(|error| format!("{error} at `{}`", error.instance_path()))
            .collect()
    }

    fn validator(&self, schema: &Value) -> Rc<Validator> {
        let mut validators = self.validators.borrow_mut();
        let build = || {
            let whole = json!({"allOf": [schema], "components": self.whole["components"]});
            let validator = jsonschema::options()
                .with_draft(jsonschema::Draft::Draft4)
                .should_validate_formats(true)
                .build(&whole);
            Rc::new(validator.expect("a schema"))
        };
        let text = schema.to_string();
        validators.entry(text).or_insert_with(build).clone()
    }

    /// Fields that no schema describes. A schema may formally allow other fields, but a request must not send them.
    fn unknown_fields(&self, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        match value {
            Value::Array(items) => {
                let schema = self.resolve(schema);
                for item in items {
                    self.unknown_fields(&schema["items"], item, at, problems);
                }
            }
            Value::Object(fields) => {
                let mut described = Described::default();
                self.describe(schema, &mut described);
                if described.open || described.fields.is_empty() {
                    return;
                }
                for (name, value) in fields {
                    let at = format!("{at}.{name}");
                    match described.fields.iter().find(|(field, _)| field == name) {
                        None => problems.push(format!("undescribed field `{at}`")),
                        Some((_, schema)) => {
                            if self.resolve(schema)["readOnly"] == true {
                                problems.push(format!("read-only field `{at}`"));
                            }
                            self.unknown_fields(schema, value, &at, problems);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn describe<'a>(&'a self, schema: &'a Value, into: &mut Described<'a>) {
        let schema = self.resolve(schema);
        let others = schema.get("additionalProperties");
        into.open |= others.is_some_and(|others| *others != false);
        if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
            into.fields
                .extend(fields.iter().map(|(name, schema)| (name.as_str(), schema)));
        }
        for kind in ["allOf", "oneOf", "anyOf"] {
            for part in schema
                .get(kind)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.describe(part, into);
            }
        }
    }
}

#[derive(Default)]
struct Described<'a> {
    fields: Vec<(&'a str, &'a Value)>,
    open: bool,
}

/// Converts a parameter's text to the type in its schema.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer" | "number") => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        Some("boolean") => match text {
            "true" => true.into(),
            "false" => false.into(),
            other => other.into(),
        },
        _ => text.into(),
    }
}

/// Converts what OpenAPI 3.0 writes differently to JSON Schema: `nullable`, and read-only fields that only answers
/// require.
fn adapt(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(adapt),
        Value::Object(fields) => {
            let read_only: Vec<String> = fields
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, schema)| schema["readOnly"] == true)
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|name| !read_only.iter().any(|other| name == other.as_str()));
                if required.is_empty() {
                    fields.remove("required");
                }
            }
            if fields.get("nullable") == Some(&Value::Bool(true))
                && let Some(Value::String(kind)) = fields.get("type")
            {
                let kinds = json!([kind, "null"]);
                fields.insert("type".to_owned(), kinds);
            }
            fields.values_mut().for_each(adapt);
        }
        _ => {}
    }
}
