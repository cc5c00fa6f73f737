//! Files of golden bytes, `tests/golden/`: a name and hex digits per line.

/// The lines of a file.
pub(crate) fn lines(file: &'static str) -> Vec<(&'static str, Vec<u8>)> {
    let line = |line: &'static str| {
        let (name, hex) = line.split_once(' ').expect("a name and hex");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (name, (0..hex.len()).step_by(2).map(byte).collect())
    };
    file.lines().map(line).collect()
}

/// Fails with the lines as they should be.
pub(crate) fn assert_same(written: &[(&str, Vec<u8>)], golden: &[(&str, Vec<u8>)]) {
    let hex = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.concat()
    };
    let show = |lines: &[(&str, Vec<u8>)]| {
        let lines = lines.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes)));
        lines.collect::<Vec<String>>().concat()
    };
    let (written, golden) = (show(written), show(golden));
    assert!(written == golden, "written:\n{written}\ngolden:\n{golden}");
}
