//! A group of this machine's users.

use std::fs;

use super::setting::{Expected, Setting, Value};

/// Where groups are named.
const GROUPS: &str = "/etc/group";

/// A group, by its name or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As it was written.
    said: String,
    /// The number.
    pub id: u32,
}

impl Group {
    /// The users that the system lists in it, beside those whose own group it is.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        members(&fs::read_to_string(GROUPS).unwrap_or_default(), self.id)
    }

    /// The group of that number.
    #[cfg(test)]
    pub(crate) fn of_number(id: u32) -> Option<Self> {
        Some(Self { said: id.to_string(), id })
    }
}

impl Setting for Group {
    fn read(value: &Value) -> Result<Self, Expected> {
        let found = match value {
            Value::Integer(number) => u32::try_from(*number).ok().map(|id| (id.to_string(), id)),
            Value::Text(text) | Value::Word(text) => {
                let named = || named(&fs::read_to_string(GROUPS).unwrap_or_default(), text);
                text.parse().ok().or_else(named).map(|id| (text.clone(), id))
            }
            _ => None,
        };
        let group = found.map(|(said, id)| Self { said, id });
        group.ok_or("a group of this machine, by its name or its number")
    }

    fn show(&self) -> Option<String> {
        self.said.show()
    }
}

/// The number of the group `name` in `table`, as group(5) has it: `name:password:number:members`.
fn named(table: &str, name: &str) -> Option<u32> {
    let line = table.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// The members of the group `id` in `table`.
fn members(table: &str, id: u32) -> Vec<String> {
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|it| it.parse().ok()) == Some(id);
    let members = table.lines().find(is_it).and_then(|line| line.split(':').nth(3));
    let names = members.unwrap_or_default().split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name_and_by_its_number() {
        let table = "root:x:0:\n# a word\nstaff:x:50:ann,bob\n";
        assert_eq!((named(table, "staff"), named(table, "sta")), (Some(50), None));
        assert_eq!(members(table, 50), ["ann", "bob"]);
        assert_eq!((members(table, 0), members(table, 9)), (Vec::new(), Vec::new()));
        let read = |value: &Value| Group::read(value).map(|group| group.id);
        assert_eq!(read(&Value::Integer(7)), Ok(7));
        assert_eq!(read(&Value::Word("7".to_owned())), Ok(7));
        assert!(read(&Value::Text("no such group".to_owned())).is_err());
        assert!(read(&Value::Integer(-1)).is_err());
    }
}
