use super::*;

#[test]
fn the_sample_shows_the_defaults() {
    let read: CloudConfig = toml::from_str(SAMPLE).unwrap();
    assert_eq!(read, CloudConfig::new("/var/lib/harpocrates/cloud"));
}

#[test]
fn a_new_configuration_has_its_data_beside_it() {
    let read: CloudConfig = toml::from_str(&template()).unwrap();
    assert_eq!(read, CloudConfig::new("data"));
}

#[test]
fn only_the_folder_must_be_said_and_unknown_keys_are_refused() {
    let read: CloudConfig = toml::from_str("data_dir = \"x\"").unwrap();
    assert_eq!(read, CloudConfig::new("x"));
    for wrong in [
        "",
        "data_dir = \"x\"\nlisten_on = 1",
        "data_dir = \"x\"\n[limits]\nmax_slot_kib = 4",
        "data_dir = \"x\"\n[limits]\nmemory_limit_mib = -1",
    ] {
        assert!(toml::from_str::<CloudConfig>(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn memory_is_a_share_of_the_machine_unless_said() {
    let mut limits = Limits {
        memory_limit_mib: 77,
        ..Limits::default()
    };
    assert_eq!(limits.memory_mib(), 77);
    limits.memory_limit_mib = 0;
    let all = machine_memory_mib().unwrap();
    assert!((1..all).contains(&limits.memory_mib()), "{all}");
}
