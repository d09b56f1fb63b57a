"""`liverank demo`: the whole loop on one machine, told step by step; every stage is the real one."""
