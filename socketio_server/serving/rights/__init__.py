"""Rights: who has lost some, and users as recipients."""
