//! A value of the document together with the place where it stands.

use std::fmt;

use serde_json::Value;

/// Keys longer than this are shortened in paths: whoever wrote them will find them all the same.
const SHOWN_KEY_CHARS: usize = 80;

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A value and its place. Places are linked, so a path costs nothing until somebody has to read it.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// The value that stands there.
    pub value: &'a Value,
    parent: Option<&'a Field<'a>>,
    segment: Segment<'a>,
}

impl<'a> Field<'a> {
    /// The value all paths start from.
    pub fn root(value: &'a Value) -> Field<'a> {
        Field { value, parent: None, segment: Segment::Root }
    }

    /// A member of this object.
    pub fn member(&'a self, key: &'a str, value: &'a Value) -> Field<'a> {
        Field { value, parent: Some(self), segment: Segment::Key(key) }
    }

    /// The member of that name; absent, `null` and "not an object" are all `None`.
    pub fn get(&'a self, key: &'a str) -> Option<Field<'a>> {
        self.value.get(key).filter(|value| !value.is_null()).map(|value| self.member(key, value))
    }

    /// Members of this object in the order of the document; none when it is not an object.
    pub fn members(&'a self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(move |(key, value)| (key.as_str(), self.member(key, value)))
    }

    /// Items of this array; none when it is not an array.
    pub fn items(&'a self) -> impl Iterator<Item = Field<'a>> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(move |(i, value)| Field { value, parent: Some(self), segment: Segment::Index(i) })
    }

    /// The path, for example `apps.<uuid>.releases.<commit>.services.main.composition.ports[0]`.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// The path a member of that name has or would have.
    pub fn path_of(&self, key: &str) -> String {
        Field { value: self.value, parent: Some(self), segment: Segment::Key(key) }.to_string()
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Index(i) => write!(f, "[{i}]"),
            Segment::Key(key) => {
                if self.parent.is_some_and(|parent| !matches!(parent.segment, Segment::Root)) {
                    f.write_str(".")?;
                }
                match key.char_indices().nth(SHOWN_KEY_CHARS) {
                    Some((end, _)) => write!(f, "{}…", &key[..end]),
                    None => f.write_str(key),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_name_keys_and_indices() {
        let document = json!({"apps": {"a": {"ports": [1, 2]}}});
        let root = Field::root(&document);
        let apps = root.get("apps").unwrap();
        let (key, app) = apps.members().next().unwrap();
        let ports = app.get("ports").unwrap();
        let second = ports.items().nth(1).unwrap();
        assert_eq!((key, second.path().as_str(), second.value), ("a", "apps.a.ports[1]", &json!(2)));
        assert_eq!(app.path_of("id"), "apps.a.id");
        assert!(app.get("id").is_none());
    }

    #[test]
    fn long_keys_are_shortened() {
        let key = "é".repeat(300);
        let document = json!({ key.as_str(): 1 });
        let root = Field::root(&document);
        let (_, member) = root.members().next().unwrap();
        assert_eq!(member.path(), format!("{}…", "é".repeat(80)));
    }
}
