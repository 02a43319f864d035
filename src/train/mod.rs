//! Training: one loop, its parts beside it.
//!
//! [`fit`] is the loop, [`job`] what it is given; [`loss`], [`optimizer`], [`schedule`], [`ema`],
//! [`early_stopping`] and [`precision`] are what it is made of; [`checkpoint`] holds and saves its state;
//! [`config`] is what the user says about it.

pub mod checkpoint;
pub mod config;
pub mod early_stopping;
pub mod ema;
pub mod fit;
pub mod frozen;
pub mod job;
pub mod loss;
pub mod optimizer;
pub mod precision;
pub mod schedule;
