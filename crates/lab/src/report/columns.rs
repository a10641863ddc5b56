//! Text in columns.

/// Columns as wide as their widest cell; the first aligned left, the others right.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    title: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
enum Row {
    Heading(String),
    Cells(Vec<String>),
}

impl Columns {
    pub(crate) fn new(title: &str, header: &[&str]) -> Self {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        Self {
            title: title.to_owned(),
            rows: vec![Row::Cells(header)],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Row::Cells(cells));
    }

    /// A line over the rows that follow.
    pub(crate) fn heading(&mut self, text: &str) {
        self.rows.push(Row::Heading(text.to_owned()));
    }

    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = format!("{}\n", self.title);
        for (index, row) in self.rows.iter().enumerate() {
            match row {
                Row::Heading(text) => out.push_str(&format!("  {text}\n")),
                Row::Cells(cells) => {
                    out.push_str(line(cells, &widths).trim_end());
                    out.push('\n');
                }
            }
            if index == 0 {
                let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
                out.push_str(&format!("  {}\n", "─".repeat(total)));
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        line.push_str("  ");
        if column == 0 {
            line.push_str(cell);
            line.push_str(&padding);
        } else {
            line.push_str(&padding);
            line.push_str(cell);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut columns = Columns::new("title", &["name", "GB/s"]);
        columns.heading("first");
        columns.row(vec!["a".to_owned(), "10.25".to_owned()]);
        columns.row(vec!["longer".to_owned(), "1.5".to_owned()]);
        let expected =
            "title\n  name     GB/s\n  ─────────────\n  first\n  a       10.25\n  longer    1.5\n";
        assert_eq!(columns.text(), expected);
    }
}
