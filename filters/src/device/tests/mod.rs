mod agreement;
mod truth;
