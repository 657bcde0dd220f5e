mod once;
mod recording;
mod scene;
mod simulation;
mod while_finished;
mod while_processing;
mod while_queued;
mod words;
