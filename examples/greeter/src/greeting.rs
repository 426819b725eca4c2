//! What is said to whom: a template whose `{column}` parts are filled from a table of people.

use std::collections::BTreeMap;

/// A template with people to fill it.
#[derive(Debug)]
pub(crate) struct Greeting {
    template: String,
    people: Vec<BTreeMap<String, String>>,
}

impl Greeting {
    /// Fails where the template asks for a column that the table does not have.
    pub(crate) fn new(template: &str, table: &str) -> Result<Self, String> {
        let mut rows = table.lines().filter(|line| !line.trim().is_empty());
        let columns: Vec<&str> = rows.next().ok_or("the database has no columns")?.split(',').map(str::trim).collect();
        for wanted in template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(column, _)| column) {
            if !columns.contains(&wanted) {
                return Err(format!("no such column: {wanted}"));
            }
        }
        let person = |row: &str| {
            let values = row.split(',').map(|value| value.trim().to_string());
            columns.iter().map(|column| column.to_string()).zip(values).collect()
        };
        let people: Vec<_> = rows.map(person).collect();
        if people.is_empty() {
            return Err("the database has nobody to greet".into());
        }
        Ok(Self { template: template.trim_end().to_string(), people })
    }

    /// The greeting for the person whose turn it is.
    pub(crate) fn to(&self, turn: usize) -> String {
        let person = &self.people[turn % self.people.len()];
        person.iter().fold(self.template.clone(), |text, (column, value)| text.replace(&format!("{{{column}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_greeted_in_turn() {
        let greeting = Greeting::new("Hello, {name}!\n", "name\nAda\nGrace\n").unwrap();
        assert_eq!([greeting.to(0), greeting.to(1), greeting.to(2)], ["Hello, Ada!", "Hello, Grace!", "Hello, Ada!"]);
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let error = Greeting::new("Hello, {name}, how is {plan}?", "name\nAda\n").unwrap_err();
        assert_eq!(error, "no such column: plan");
    }

    #[test]
    fn an_empty_database_is_said() {
        assert_eq!(Greeting::new("Hello", "").unwrap_err(), "the database has no columns");
        assert_eq!(Greeting::new("Hello", "name\n").unwrap_err(), "the database has nobody to greet");
    }
}
