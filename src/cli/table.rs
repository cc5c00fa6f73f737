//! Tables for people: aligned columns without lines, two spaces apart.

use comfy_table::{CellAlignment, Row, Table, presets};

/// How a column is aligned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Align {
    Left,
    Right,
}

/// A column: its head, which may have several lines, and how it is aligned.
pub(super) type Column<'a> = (&'a str, Align);

/// Cells below their heads; no line ends with spaces.
pub(super) fn columns(head: &[Column<'_>], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    const GAP: u16 = 2;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(Row::from(head.iter().map(|(title, _)| title)));
    table.add_rows(rows);
    for (column, (_, align)) in table.column_iter_mut().zip(head) {
        column.set_padding((0, GAP));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_below_heads_of_several_lines() {
        let head = [
            ("", Align::Left),
            ("accepted\na second", Align::Right),
            ("send to reply\np50, ms", Align::Right),
            ("\np90", Align::Right),
        ];
        let rows = [["peerd", "900", "1.50", "3.00"], ["limit", "1000", "", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let lines = [
            "       accepted  send to reply",
            "       a second        p50, ms   p90",
            "peerd       900           1.50  3.00",
            "limit      1000",
        ];
        assert_eq!(columns(&head, rows), lines.join("\n"));
    }
}
