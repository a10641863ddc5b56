use super::*;

#[test]
fn every_system_runs_and_leaves_view_and_truth_of_equal_length_in_order() {
    let scenario = Scenario {
        hospitals: 6,
        days: 12,
        ..Scenario::default()
    };
    for system in System::ALL {
        let Record { view, truth } = system.run(&scenario, 1).unwrap();
        let name = system.name();
        assert_eq!(view.uploads.len(), truth.uploads.len(), "{name}");
        assert_eq!(view.fetches.len(), truth.fetches.len(), "{name}");
        assert!(
            view.uploads.len() > 1000 && view.fetches.len() > 100,
            "{name}"
        );
        assert!(
            view.uploads.is_sorted_by_key(|upload| upload.time),
            "{name}"
        );
        assert!(view.fetches.is_sorted_by_key(|fetch| fetch.time), "{name}");
        assert!(view.seals.is_sorted_by_key(|seal| seal.time), "{name}");
        assert_eq!(System::by_name(name), Some(system));
    }
}
