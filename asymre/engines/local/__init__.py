"""Engine local: our own decoder, pretrained, sampled from, trained and evaluated in one process."""
