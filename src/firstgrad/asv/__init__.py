"""A third party's asv suite, with all of firstgrad's metrics from one measured process a sample."""
