//! Argo CD and Flux: how they judge our objects, and that applying, applying again and pruning do what git says.

mod applied;
mod health;
mod judges;
mod pruned;
