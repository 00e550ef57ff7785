//! Tables: columns as wide as they need to be, cells cut where they would break the page.

use super::words::plain;

/// Space between columns.
const GUTTER: &str = "  ";
/// Space before the first column.
const INDENT: &str = "  ";

/// Lays out rows below their titles. `most` is how wide each column may get.
pub(super) fn table<const COLUMNS: usize>(titles: [&str; COLUMNS], most: [usize; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let cut: Vec<[String; COLUMNS]> =
        rows.iter().map(|row| std::array::from_fn(|column| cut(&plain(&row[column]), most[column]))).collect();
    let width = |column: usize| {
        let cells = cut.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = line(&titles, &widths);
    for row in &cut {
        text.push_str(&line(&std::array::from_fn::<&str, COLUMNS, _>(|column| &row[column]), &widths));
    }
    text
}

fn line<const COLUMNS: usize>(cells: &[&str; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    format!("{}\n", format!("{INDENT}{}", padded.join(GUTTER)).trim_end())
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
        assert_eq!(table(["NAME", "STATE"], [8, 20], &rows), "  NAME      STATE\n  a         running\n  a-long..  x\n");
    }

    #[test]
    fn an_empty_table_is_its_titles() {
        assert_eq!(table(["A", "B"], [9, 9], &[]), "  A  B\n");
    }
}
