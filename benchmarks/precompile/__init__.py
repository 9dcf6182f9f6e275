"""What ``firstgrad.precompile`` saves: a cold compile alone beside a precompiled one, in turns."""
