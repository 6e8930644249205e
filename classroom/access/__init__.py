"""Who may do what: this machine, the teacher's key, students' devices, and how often each may ask."""
