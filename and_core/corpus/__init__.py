"""The synthetic world: recipes of sounds, clips, and captions that say what is in them."""
