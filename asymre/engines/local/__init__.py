"""Engine local: a decoder of our own, pretrained, sampled from, trained and evaluated in one process."""
