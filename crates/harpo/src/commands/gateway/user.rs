//! `harpo gateway user`.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use harpo_gateway::users::{self, Credential};
use harpo_service::random;
use zeroize::Zeroizing;

use super::Dir;

/// Fewest characters of a password.
const FEWEST: usize = 12;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user, and print the token with which it signs in; a running gateway knows it within seconds
    Add {
        #[command(flatten)]
        folder: Dir,
        /// Unique name
        #[arg(long)]
        name: String,
        /// Role, as the policy names it: physician, radiologist, technologist, researcher, …
        #[arg(long)]
        role: String,
        /// Read a password from standard input instead of making a token
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users
    List {
        #[command(flatten)]
        folder: Dir,
    },
    /// Remove a user; a running gateway refuses it within seconds
    Remove {
        #[command(flatten)]
        folder: Dir,
        /// As `list` shows it
        #[arg(long)]
        name: String,
    },
}

impl User {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Add {
                folder,
                name,
                role,
                password_stdin,
            } => add(&folder, &name, &role, password_stdin),
            Self::List { folder } => list(&folder),
            Self::Remove { folder, name } => {
                if !users::remove(&folder.users_file()?, &name)? {
                    bail!("there is no user {name:?}; see `harpo gateway user list`");
                }
                eprintln!("{name} is removed");
                Ok(())
            }
        }
    }
}

fn add(folder: &Dir, name: &str, role: &str, password_stdin: bool) -> Result<()> {
    let path = folder.users_file()?;
    let credential = if password_stdin {
        let mut password = Zeroizing::new(String::new());
        std::io::stdin()
            .read_to_string(&mut password)
            .context("reading the password")?;
        let password = Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned());
        if password.chars().count() < FEWEST {
            bail!("the password has fewer than {FEWEST} characters");
        }
        Credential::Password(password)
    } else {
        Credential::Token
    };
    let token = users::add(&path, name, role, credential, &mut random::system())?;
    match token {
        Some(token) => {
            println!("{}", *token);
            eprintln!("{name} is added as {role}; the token above is shown only now");
        }
        None => eprintln!("{name} is added as {role}, with the password"),
    }
    Ok(())
}

fn list(folder: &Dir) -> Result<()> {
    for user in users::list(&folder.users_file()?)? {
        let signs_in = match (user.password, user.token) {
            (true, true) => "password or token",
            (true, false) => "password",
            (false, _) => "token",
        };
        println!("{:24}  {:16}  {signs_in}", user.name, user.role);
    }
    Ok(())
}
