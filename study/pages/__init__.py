"""The pages that belong to no kind of exercise, such as Today, the five-minute review, Learn and Settings."""
