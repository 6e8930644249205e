"""The grader's model: the only place under quizzes/ that imports torch."""
