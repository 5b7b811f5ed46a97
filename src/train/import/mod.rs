//! From published data sets to manifests, one file a data set.

pub mod fer2013;
