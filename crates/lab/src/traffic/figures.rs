//! The numbers behind the traffic, with their sources, or the word "assumed".
//!
//! | what | figure | source |
//! |---|---|---|
//! | beds of a hospital | log-normal, median 300, 80 to 900 | assumed |
//! | studies | 490 a day at 900 beds: 0.54 a bed and day | archive of a hospital of 900 beds |
//! | modalities | X-ray 62 %, ultrasound 20, CT 9, MR 6, fluoroscopy 3 | England 2012, Diagnostic Imaging Dataset |
//! | of X-ray, mammograms | 4 points of the 62 | assumed |
//! | specialties | each hospital's mix is the national one times a gamma variate (shape 4) | assumed |
//! | busiest hour | 12 % of the day | 10 to 15 %, the same archive |
//! | weekends | 40 % of a working day | assumed |
//! | a hospital's own hours | up to 2 h earlier or later, 0.5 to 2 times the night's share, weekends 10 to 70 % of a working day, uniform | assumed |
//! | shared through the network | 5 % of studies | assumed: referrals |
//! | priors of a study | 7.6 ± 12.3 (negative binomial) | studies of prefetching |
//! | of those, in the network | half | assumed |
//! | relevant priors | 61 % | the same |
//! | to the next study | 72 % within a week (exponential, mean 2.5 days), else exponential | the same; laws assumed |
//! | mean age of priors | 203 days: so the long tail has a mean of 719 days | the same |
//! | follow-up | after 60 % of studies | assumed |
//! | where | 70 % at the first study's hospital, 25 % at that referred to, 5 % elsewhere | assumed |
//! | shared studies read elsewhere | 85 % | assumed |
//! | when | scheduled: on the following days; else log-normal, median 90 minutes, emergencies 15 | assumed |
//! | scheduled, known a day ahead | 70 % of readings | assumed |
//! | emergencies | 2 % of readings | assumed |
//! | between two bundles of a session | 20 s to 3 min | assumed |
//! | CT | 300 to 1000 images of 0.5 MB, compressed 4.8 : 1 | sizes published, ratio docs/performance.md |
//! | MR | 200 to 600 images of 0.26 MB, 3.7 : 1 | the same |
//! | X-ray | 8 to 20 MB, 3.4 : 1 | the same |
//! | mammograms | 25 to 50 MB, 3.4 : 1 | the same |
//! | ultrasound, fluoroscopy | 5 to 60 MB, 2.5 : 1 | assumed |
//! | backlog | priors up to a year old, deposited over the first 7 days | assumed |

/// Median of beds, and the spread of their logarithm.
pub const BEDS: (f64, f64) = (300.0, 0.6);
/// Fewest and most beds.
pub const BEDS_RANGE: (f64, f64) = (80.0, 900.0);
/// Studies of a bed and day.
pub const STUDIES_PER_BED: f64 = 490.0 / 900.0;
/// Share of studies that goes through the network.
pub const SHARED: f64 = 0.05;
/// Shares of the modalities, in the order of [`super::Modality::ALL`].
pub const MIX: [f64; 6] = [0.58, 0.04, 0.20, 0.09, 0.06, 0.03];
/// Shape of the gamma variate by which each hospital's mix differs.
pub const SPECIALTY_SHAPE: f64 = 4.0;
/// Share of a working day's studies in each hour.
pub const HOURS: [f64; 24] = [
    0.008, 0.007, 0.006, 0.005, 0.005, 0.008, 0.015, 0.040, 0.085, 0.110, 0.120, 0.105, 0.075,
    0.080, 0.090, 0.075, 0.050, 0.030, 0.022, 0.018, 0.015, 0.012, 0.010, 0.009,
];
/// A day of the weekend beside a working day.
pub const WEEKEND: f64 = 0.4;
/// How much earlier or later a hospital's day is, at most, in hours.
pub const SHIFT_HOURS: f64 = 2.0;
/// What its night (19 to 7 h) has of the mean share, at least and at most.
pub const NIGHT: (f64, f64) = (0.5, 2.0);
/// Its weekend beside a working day, at least and at most.
pub const WEEKENDS: (f64, f64) = (0.1, 0.7);
/// Mean and standard deviation of the number of priors.
pub const PRIORS: (f64, f64) = (7.6, 12.3);
/// Share of them that lies in the network.
pub const PRIORS_IN_NETWORK: f64 = 0.5;
/// Share of the priors that are relevant.
pub const RELEVANT: f64 = 0.61;
/// Share of intervals that are within a week.
pub const WITHIN_A_WEEK: f64 = 0.72;
/// Mean of those, in days, before they are cut at a week.
pub const SHORT_DAYS: f64 = 2.5;
/// Mean age of priors in days.
pub const PRIOR_AGE_DAYS: f64 = 203.0;
/// Share of studies that a further one follows.
pub const FOLLOWED: f64 = 0.6;
/// Shares of follow-ups and priors made at the first hospital, and at the one that the patient was referred to.
pub const WHERE: (f64, f64) = (0.70, 0.25);
/// Share of shared studies that are read elsewhere for their own sake.
pub const READ_ELSEWHERE: f64 = 0.85;
/// Median delay of an unscheduled reading in minutes, of one in an emergency, and the spread of the logarithm.
pub const READ_AFTER_MINUTES: (f64, f64, f64) = (90.0, 15.0, 1.2);
/// Share of readings that is scheduled.
pub const SCHEDULED: f64 = 0.70;
/// Share of readings that is an emergency.
pub const EMERGENCIES: f64 = 0.02;
/// Seconds between two bundles of a session.
pub const SESSION_GAP_SECONDS: (f64, f64) = (20.0, 180.0);
/// How old the backlog is at most, and over how many days it is brought in.
pub const BACKLOG_DAYS: (f64, f64) = (365.0, 7.0);
/// How long before the first day patients begin, in days, so that there are follow-ups from the first day on.
pub const LEAD_DAYS: f64 = 30.0;
