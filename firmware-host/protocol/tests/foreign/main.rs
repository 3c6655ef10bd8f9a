//! The clients in other languages, against the vectors: C is compiled and run, Python run. What is not installed is not
//! checked, and that is said.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

mod table;

fn home() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Says so past the capture of tests' output.
fn not_checked(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "NOT CHECKED: {what}");
}

/// A directory of this test's own, with the tables in it.
fn prepared(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let vectors = std::fs::read_to_string(home().join("vectors.json")).unwrap();
    let tables = table::tables(&serde_json::from_str(&vectors).unwrap());
    std::fs::write(directory.join("vectors.inc"), tables).unwrap();
    directory
}

/// Runs a program, which must succeed; `None` if it is not installed.
fn run(command: &mut Command) -> Option<String> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{command:?}: {error}"),
    };
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    Some(text)
}

const STRICT: [&str; 6] = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion"];

fn compile(compiler: &str, directory: &Path, flags: &[&str], output: &Path) -> Option<String> {
    let mut command = Command::new(compiler);
    command.args(STRICT).args(flags).arg("-I").arg(home().join("c")).arg("-I").arg(directory);
    run(command.arg(home().join("c/test_wire.c")).arg("-o").arg(output))
}

/// Whether the compiler can link a program with these flags.
fn supports(directory: &Path, flags: &[&str]) -> bool {
    let (source, output) = (directory.join("empty.c"), directory.join("empty"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let status = Command::new("cc").args(flags).arg(&source).arg("-o").arg(&output).output();
    status.is_ok_and(|compiled| compiled.status.success()) && Command::new(&output).status().is_ok_and(|s| s.success())
}

#[test]
fn the_c_header_agrees_with_the_vectors() {
    let directory = prepared("c-host");
    let program = directory.join("test_wire");
    let sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"];
    let flags: &[&str] = if supports(&directory, &sanitizers) {
        &sanitizers
    } else {
        not_checked("the C header under sanitizers: this compiler has none");
        &["-O2"]
    };
    if compile("cc", &directory, flags, &program).is_none() {
        not_checked("the C header: no C compiler (cc) is installed");
        return;
    }
    let said = run(&mut Command::new(&program)).unwrap();
    assert_eq!(said, "ok\n");
}

#[test]
fn the_c_header_compiles_for_cortex_m() {
    let directory = prepared("c-cortex-m");
    let flags = ["-mcpu=cortex-m0", "-mthumb", "-Os", "-c"];
    if compile("arm-none-eabi-gcc", &directory, &flags, &directory.join("test_wire.o")).is_none() {
        not_checked("the C header for Cortex-M: arm-none-eabi-gcc is not installed");
    }
}

#[test]
fn the_python_client_agrees_with_the_vectors() {
    let script = home().join("python/test_wire.py");
    // No __pycache__ beside the sources.
    let Some(said) = run(Command::new("python3").arg("-B").arg(script)) else {
        not_checked("the Python client: python3 is not installed");
        return;
    };
    said.lines().filter_map(|line| line.split("NOT CHECKED: ").nth(1)).for_each(not_checked);
    assert!(said.contains("\nOK"), "{said}");
}
