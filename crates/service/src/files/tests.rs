use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_with_the_permissions_asked_for_and_nothing_is_left_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    fs::write(&path, "old").unwrap();
    write_durable(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(names(directory.path()), ["key.pem"]);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
    let directory = tempfile::tempdir().unwrap();
    // Renaming a file over a directory fails after the temporary file was written.
    let path = directory.path().join("taken");
    fs::create_dir(&path).unwrap();
    assert!(write_durable(&path, b"bytes", 0o600).is_err());
    assert_eq!(names(directory.path()), ["taken"]);
    assert!(write_durable(Path::new("/"), b"bytes", 0o600).is_err());
    assert!(write_durable(&directory.path().join("no/such"), b"bytes", 0o600).is_err());
}

#[test]
fn a_full_disk_is_recognised() {
    // Linux: 28 is ENOSPC, 122 is EDQUOT, 13 is EACCES.
    assert!(is_storage_full(&io::Error::from_raw_os_error(28)));
    assert!(is_storage_full(&io::Error::from_raw_os_error(122)));
    assert!(!is_storage_full(&io::Error::from_raw_os_error(13)));
}

#[test]
fn a_really_full_device_is_recognised() {
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(is_storage_full(&full.write_all(b"x").unwrap_err()));
}

#[test]
fn directories_are_made_with_what_is_missing_above_them() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b/c");
    create_dir_durable(&deep, 0o700).unwrap();
    create_dir_durable(&deep, 0o700).unwrap();
    assert_eq!(
        fs::metadata(&deep).unwrap().permissions().mode() & 0o777,
        0o700
    );
}
