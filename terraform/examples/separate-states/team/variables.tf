variable "deletion_protection" {
  description = "Whether a destroy of the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "pool_name" {
  description = "Output `pool_name` of the pool's state."
  type        = string
}

variable "project_id" {
  description = "Id of the team's project."
  type        = string
}

variable "provider_name" {
  description = "Output `provider_name` of the pool's state."
  type        = string
}

variable "subject_prefix" {
  description = "Output `subject_prefix` of the pool's state."
  type        = string
}

variable "subjects" {
  description = "Subjects, by the name of the identity."
  type        = map(string)
}
