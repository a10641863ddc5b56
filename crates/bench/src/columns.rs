//! Text in columns.

/// Columns as wide as their widest cell; the first aligned left, the others right.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, header: &[&str]) -> Self {
        Table {
            title: title.to_owned(),
            rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = format!("\n{}\n", self.title);
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) = match column {
                    0 => ("  ", padding.as_str()),
                    _ => (padding.as_str(), "  "),
                };
                let gap = if column == 1 { "  " } else { "" };
                line.push_str(&format!("{gap}{before}{cell}{after}"));
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if index == 0 {
                let total = 2 + widths.iter().sum::<usize>() + 2 * (columns - 1);
                out.push_str(&format!("  {}\n", "─".repeat(total - 2)));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new("title", &["name", "GB/s"]);
        table.row(vec!["a".to_owned(), "10.25".to_owned()]);
        table.row(vec!["longer".to_owned(), "1.5".to_owned()]);
        assert_eq!(
            table.text(),
            "\ntitle\n  name     GB/s\n  ─────────────\n  a       10.25\n  longer    1.5\n"
        );
    }
}
