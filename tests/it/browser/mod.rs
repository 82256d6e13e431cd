//! The pages of the service in headless Chromium: that they work, write nothing to the console and load nothing from
//! other hosts.

mod docs;
mod phone;
