//! Tables: columns as wide as they need to be, cells cut where they would break the page.

use super::page::Block;
use super::words::plain;

/// Space between columns.
const GUTTER: &str = "  ";
/// Space before the first column.
const INDENT: &str = "  ";
/// No column gets narrower on a terminal, however narrow that is.
const LEAST: usize = 4;

/// Rows below their titles, to be laid out where the width is known.
pub(super) struct Table {
    /// Titles first.
    rows: Vec<Vec<String>>,
    most: Vec<usize>,
}

/// Rows below their titles. `most` is how wide each column may get on a page; a terminal shares out the width it has.
pub(super) fn table<const COLUMNS: usize>(titles: [&str; COLUMNS], most: [usize; COLUMNS], rows: &[[String; COLUMNS]]) -> Table {
    let mut all = vec![titles.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(|row| row.to_vec()));
    Table { rows: all, most: most.to_vec() }
}

impl Table {
    /// How wide each column is.
    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let widest = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let title = |column: usize| self.rows[0][column].chars().count();
        let mut widths: Vec<usize> = (0..self.most.len()).map(widest).collect();
        match columns {
            None => widths.iter_mut().enumerate().for_each(|(at, width)| *width = (*width).min(self.most[at].max(title(at)))),
            Some(columns) => {
                let room = columns.saturating_sub(INDENT.len() + GUTTER.len() * (widths.len() - 1));
                shrink(&mut widths, &self.most, room);
            }
        }
        widths
    }
}

/// Takes from the columns that are furthest beyond their share of a page, then from the widest.
fn shrink(widths: &mut [usize], most: &[usize], room: usize) {
    let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
    while excess > 0 {
        let beyond = |at: usize| (widths[at].saturating_sub(most[at]), widths[at]);
        let Some(at) = (0..widths.len()).filter(|at| widths[*at] > LEAST).max_by_key(|at| beyond(*at)) else { return };
        widths[at] -= 1;
        excess -= 1;
    }
}

impl Block for Table {
    fn text(&self, columns: Option<usize>) -> String {
        let widths = self.widths(columns);
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", cut(&plain(cell), *width)));
            text.push_str(format!("{INDENT}{}", cells.collect::<Vec<_>>().join(GUTTER)).trim_end());
            text.push('\n');
        }
        text
    }
}

/// Shortens a cell; two dots show that something is missing.
fn cut(cell: &str, most: usize) -> String {
    if cell.chars().count() <= most {
        return cell.to_owned();
    }
    let kept: String = cell.chars().take(most.saturating_sub(2)).collect();
    format!("{kept}..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_cells_are_cut() {
        let rows = [["a".into(), "running".into()], ["a-long-name".into(), "x".into()]];
        let text = table(["NAME", "STATE"], [8, 20], &rows).text(None);
        assert_eq!(text, "  NAME      STATE\n  a         running\n  a-long..  x\n");
    }

    #[test]
    fn a_terminal_is_filled_and_never_overrun() {
        let rows = [["a".into(), "running".into()], ["a-long-name".into(), "x".into()]];
        let at = |columns| table(["NAME", "STATE"], [8, 20], &rows).text(Some(columns));
        assert_eq!(at(80), "  NAME         STATE\n  a            running\n  a-long-name  x\n");
        assert_eq!(at(20), "  NAME       STATE\n  a          running\n  a-long-..  x\n");
        for columns in [14, 18, 40] {
            assert!(at(columns).lines().all(|line| line.chars().count() <= columns), "{columns}: {}", at(columns));
        }
        assert_eq!(at(1).lines().count(), 3);
    }

    #[test]
    fn an_empty_table_is_its_titles() {
        assert_eq!(table(["A", "B"], [9, 9], &[]).text(None), "  A  B\n");
    }
}
