//! How a page is made.

use crate::page::output::Progress;

/// The projection of the features to two dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Projection {
    /// t-SNE (van der Maaten and Hinton, 2008): neighbours stay neighbours; distances between clusters say
    /// little.
    #[default]
    Tsne,
    /// The two principal components of largest variance.
    Pca,
}

/// How a page is made.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The projection of the features to two dimensions.
    pub projection: Projection,
    /// Maximum number of misclassified images in the gallery.
    pub gallery: usize,
    /// Maximum number of points in the projection.
    pub points: usize,
    /// Replicates of each bootstrap.
    pub replicates: usize,
    /// Called with the step at hand and how much of it is done.
    pub progress: Option<Progress<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            projection: Projection::default(),
            gallery: 400,
            points: 2000,
            replicates: 2000,
            progress: None,
        }
    }
}
