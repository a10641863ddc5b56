//! `harpo gateway status`, `harpo gateway reviews` and `harpo gateway exports`.

use std::net::SocketAddr;

use anyhow::Result;
use harpo_gateway::content::records::Records;
use harpo_gateway::maintenance;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use harpo_service::http::{Client, ClientError};

use super::super::say::say;
use super::Dir;

pub(super) async fn status(folder: &Dir) -> Result<()> {
    let config = folder.config()?;
    let data = folder.path().join(&config.data_dir);
    let report = maintenance::report(&data, &Clock::system()).await?;
    let spool = report.spool;
    println!("hospital     {} ({})", report.name, report.party);
    println!("service      {}", service(config.admin.listen).await?);
    println!("certificate  until {}", report.certificate_until);
    println!(
        "arriving     {} instances in {} studies",
        spool.open_instances, spool.open_studies
    );
    println!(
        "waiting      {} instances in {} bundles, {} bundles of them refused",
        spool.closed_instances, spool.closed_bundles, report.refused
    );
    println!("deposited    {} bundles", report.deposited);
    let (bundles, bytes) = report.cached;
    println!("cached       {bundles} bundles, {} MiB", bytes >> 20);
    println!("reviews      {}", report.reviews);
    if spool.set_aside > 0 {
        println!(
            "set aside    {} files that cannot be read, in {}",
            spool.set_aside,
            data.join("spool/refused").display()
        );
    }
    Ok(())
}

/// What the service says of itself where it should be.
async fn service(admin: SocketAddr) -> Result<String> {
    let asked = Client::plain(&format!("http://{admin}"))?
        .get("/-/ready")
        .send()
        .await;
    Ok(match asked {
        Ok(_) => "ready".to_owned(),
        Err(ClientError::Refused { .. }) => {
            format!("runs and is not ready; http://{admin}/-/ready says why")
        }
        Err(_) => format!("does not answer at {admin}"),
    })
}

pub(super) async fn reviews(folder: &Dir) -> Result<()> {
    let reviews = maintenance::reviews(&folder.data()?).await?;
    if reviews.is_empty() {
        eprintln!("nothing is to be reviewed");
    }
    for notice in reviews {
        let study = match notice.study {
            Some(study) => format!(" of study {study}"),
            None => String::new(),
        };
        say(format_args!(
            "{}  {} ({}) at {}  {}  bundle {}{study}",
            Timestamp(notice.at_ms),
            notice.user,
            notice.role,
            notice.consumer,
            notice.purpose,
            notice.bundle
        ));
    }
    Ok(())
}

pub(super) async fn exports(folder: &Dir, json: bool) -> Result<()> {
    let records = Records::open(&folder.data()?).await?;
    let list = records.list().await?;
    if json {
        println!("{}", serde_json::to_string(&list)?);
        return Ok(());
    }
    let exports = list.verify(records.trust_key())?;
    if exports.is_empty() {
        eprintln!("nothing was exported");
    }
    for (id, export) in exports {
        let traced = if export.traced { "traced" } else { "exact" };
        say(format_args!(
            "{}  {} ({})  {}  {traced}  bundle {} of study {}  export {id}",
            export.at,
            export.requester.user,
            export.requester.role,
            export.requester.purpose,
            export.bundle,
            export.study_instance_uid
        ));
    }
    Ok(())
}
